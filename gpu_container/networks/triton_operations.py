# mypy: allow-untyped-defs, allow-incomplete-defs
"""What the networks do between convolutions, each layer in one pass over memory: kernels in Triton.

Sums are added up in 32 bits and rounded once. Channels lie behind one another for each pixel (channels_last).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from gpu_container.networks.operations import SLOPE

_BLOCK = 64
_MOST_SUMS = 5
_SLOPE = tl.constexpr(SLOPE)


@triton.jit
def _combine(  # noqa: PLR0917
    s0, s1, s2, s3, s4, first_residual, second_residual, mask, out, total,
    c0: tl.constexpr, c1: tl.constexpr, c2: tl.constexpr, c3: tl.constexpr, c4: tl.constexpr,
    o0: tl.constexpr, o1: tl.constexpr, o2: tl.constexpr, o3: tl.constexpr, o4: tl.constexpr,
    parts: tl.constexpr, width: tl.constexpr, residuals: tl.constexpr, has_mask: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    pixel = (tl.program_id(0).to(tl.int64) * block + tl.arange(0, block))[:, None]
    channel = tl.arange(0, width)[None, :]
    inside = pixel < total
    value = tl.load(s0 + pixel * c0 + o0 + channel, mask=inside, other=0).to(tl.float32)
    if parts > 1:
        value += tl.load(s1 + pixel * c1 + o1 + channel, mask=inside, other=0).to(tl.float32)
    if parts > 2:
        value += tl.load(s2 + pixel * c2 + o2 + channel, mask=inside, other=0).to(tl.float32)
    if parts > 3:
        value += tl.load(s3 + pixel * c3 + o3 + channel, mask=inside, other=0).to(tl.float32)
    if parts > 4:
        value += tl.load(s4 + pixel * c4 + o4 + channel, mask=inside, other=0).to(tl.float32)
    if has_mask:
        value *= tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    if residuals == 0:
        value = tl.where(value > 0, value, value * _SLOPE)
    if residuals > 0:
        other = tl.load(first_residual + pixel * width + channel, mask=inside, other=0)
        value = value * 0.2 + other.to(tl.float32)
    if residuals > 1:
        other = tl.load(second_residual + pixel * width + channel, mask=inside, other=0)
        value = value * 0.2 + other.to(tl.float32)
    tl.store(out + pixel * width + channel, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _enlarge(  # noqa: PLR0917
    phases, mask, out, height, width, total,
    channels: tl.constexpr, has_mask: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    pixel = (tl.program_id(0).to(tl.int64) * block + tl.arange(0, block))[:, None]
    channel = tl.arange(0, channels)[None, :]
    inside = pixel < total
    column, line = pixel % (2 * width), pixel // (2 * width)
    row, picture = line % (2 * height), line // (2 * height)
    y, x = row % 2, column % 2
    source = (picture * (height + 1) + row // 2 + y) * (width + 1) + column // 2 + x
    at = source * (4 * channels) + (2 * y + x) * channels + channel
    value = tl.load(phases + at, mask=inside, other=0).to(tl.float32)
    value = tl.where(value > 0, value, value * _SLOPE)
    if has_mask:
        value *= tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    tl.store(out + pixel * channels + channel, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _activate(  # noqa: PLR0917
    features, mask, total, channels: tl.constexpr, has_mask: tl.constexpr, block: tl.constexpr
):
    pixel = (tl.program_id(0).to(tl.int64) * block + tl.arange(0, block))[:, None]
    at = features + pixel * channels + tl.arange(0, channels)[None, :]
    inside = pixel < total
    value = tl.load(at, mask=inside, other=0).to(tl.float32)
    value = tl.where(value > 0, value, value * _SLOPE)
    if has_mask:
        value *= tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    tl.store(at, value.to(features.dtype.element_ty), mask=inside)


class TritonOperations:
    """See ``Operations``; channels must be powers of two."""

    def combined(
        self,
        sums: Sequence[torch.Tensor],
        offsets: Sequence[int],
        width: int,
        mask: torch.Tensor | None,
        residuals: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """See ``Operations``."""
        given = [_last(each) for each in sums]
        count, _, height, columns = given[0].shape
        out = _empty(given[0], (count, width, height, columns))
        unused = [given[0]] * (_MOST_SUMS - len(given))
        starts = [*offsets, *([0] * len(unused))]
        others = [*(_last(each) for each in residuals), out, out]
        total = count * height * columns
        _combine[(triton.cdiv(total, _BLOCK),)](
            *given, *unused, others[0], others[1], out if mask is None else mask.contiguous(), out, total,
            *(each.shape[1] for each in (*given, *unused)), *starts,
            parts=len(given), width=width, residuals=len(residuals), has_mask=mask is not None, block=_BLOCK,
        )  # fmt: skip
        return out

    def enlarged(self, phases: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """See ``Operations``."""
        given = _last(phases)
        count, channels, height, width = given.shape
        channels, height, width = channels // 4, height - 1, width - 1
        out = _empty(given, (count, channels, 2 * height, 2 * width))
        total = count * 4 * height * width
        _enlarge[(triton.cdiv(total, _BLOCK),)](
            given, out if mask is None else mask.contiguous(), out, height, width, total,
            channels=channels, has_mask=mask is not None, block=_BLOCK,
        )  # fmt: skip
        return out

    def activated(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """See ``Operations``."""
        given = _last(features)
        count, channels, height, width = given.shape
        total = count * height * width
        _activate[(triton.cdiv(total, _BLOCK),)](
            given, given if mask is None else mask.contiguous(), total,
            channels=channels, has_mask=mask is not None, block=_BLOCK,
        )  # fmt: skip
        return given


def _last(features: torch.Tensor) -> torch.Tensor:
    return features.contiguous(memory_format=torch.channels_last)


def _empty(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
