"""What the networks do between convolutions, pixel by pixel: the reference in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional

from gpu_container.networks.phase import PHASES

SLOPE = 0.2
RESIDUAL_SCALE = 0.2


class Operations(Protocol):
    """``mask``: (N, 1, H, W), 1 in pictures and 0 between them, in the type of the features, or None."""

    def combined(
        self,
        sums: Sequence[torch.Tensor],
        offsets: Sequence[int],
        width: int,
        mask: torch.Tensor | None,
        residuals: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Add ``width`` channels of each of ``sums``, from its offset on, and finish the layer.

        Without ``residuals`` by the leaky ReLU; else each of them is added in turn to 0.2 times what is
        there.
        """
        ...

    def enlarged(self, phases: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What ``PhaseConvolution`` returns, put together: (N, C, 2 * H, 2 * W), behind the leaky ReLU."""
        ...

    def activated(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The leaky ReLU; ``features`` are overwritten."""
        ...


class TorchOperations:
    """Plain torch, on any device."""

    def combined(
        self,
        sums: Sequence[torch.Tensor],
        offsets: Sequence[int],
        width: int,
        mask: torch.Tensor | None,
        residuals: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """See ``Operations``."""
        parts = [part[:, at : at + width] for part, at in zip(sums, offsets, strict=True)]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].clone()
        for part in parts[2:]:
            total.add_(part)
        if not residuals:
            return self.activated(total, mask)
        total = masked(total, mask)
        for residual in residuals:
            total.mul_(RESIDUAL_SCALE).add_(residual)
        return total

    def enlarged(self, phases: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """See ``Operations``."""
        count, channels, height, width = phases.shape
        channels, height, width = channels // 4, height - 1, width - 1
        out = torch.empty(
            (count, channels, 2 * height, 2 * width),
            dtype=phases.dtype,
            device=phases.device,
            memory_format=torch.channels_last,
        )
        for number, (y, x) in enumerate(PHASES):
            phase = phases[:, number * channels : (number + 1) * channels, y : y + height, x : x + width]
            out[:, :, y::2, x::2] = phase
        return self.activated(out, mask)

    def activated(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """See ``Operations``."""
        return masked(functional.leaky_relu_(features, SLOPE), mask)


def masked(features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """``features``, overwritten: zero where ``mask`` (N, 1, H, W) is."""
    return features if mask is None else features.mul_(mask)


def mask_twice(mask: torch.Tensor | None) -> torch.Tensor | None:
    """``mask`` for a plane of twice the height and width."""
    if mask is None:
        return None
    return mask.repeat_interleave(2, 2).repeat_interleave(2, 3)
