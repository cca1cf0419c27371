"""Real-ESRGAN's x4plus network without concatenation, from the same weights.

In a dense block each layer convolves all earlier features side by side, and that is the sum of their own
convolutions. So each feature is convolved once, as soon as it is there, with the weights of all layers that
need it (64 to 192 channels, then 32 to 160, 128, 96 and 64), and the sums are added. The multiplications are
the same, but nothing is copied together and every convolution has many outputs.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from gpu_container.networks.operations import Operations, TorchOperations, mask_twice, masked
from gpu_container.networks.phase import PhaseConvolution

# how far the layers behind the body see, in their input's pixels: 1/2 + 3/4, rounded up
_TAIL_REACH = 2
# pixels that are enlarged at once: each takes 6 kB there, and CUDA libraries count elements in 31 bits
TAIL_PIXELS = 512 * 1024


class SplitDenseBlock(nn.Module):
    """A residual dense block in which every feature is convolved once for all layers that need it."""

    def __init__(self, block: nn.Module, operations: Operations) -> None:
        """``block``: a ``ResidualDenseBlock``."""
        super().__init__()
        layers = [getattr(block, f"conv{number}") for number in range(1, 6)]
        self._operations = operations
        self._grown = layers[0].out_channels
        self._width = layers[-1].out_channels
        edges = [0, *(layer.in_channels for layer in layers)]
        self.parts = nn.ModuleList(
            _convolution(
                torch.cat([layer.weight[:, start:end] for layer in layers[number:]]),
                torch.cat([layer.bias for layer in layers]) if number == 0 else None,
            )
            for number, (start, end) in enumerate(pairwise(edges))
        )

    def forward(
        self, features: torch.Tensor, mask: torch.Tensor | None, outer: tuple[torch.Tensor, ...] = ()
    ) -> torch.Tensor:
        """(N, C, H, W) to the same. ``outer``: what the group began with, if this is its last block."""
        sums: list[torch.Tensor] = []
        part = features
        last = len(self.parts) - 1
        for number, convolution in enumerate(self.parts):
            sums.append(convolution(part))
            offsets = [self._grown * (number - earlier) for earlier in range(number + 1)]
            width = self._width if number == last else self._grown
            residuals = (features, *outer) if number == last else ()
            part = self._operations.combined(sums, offsets, width, mask, residuals)
        return part


class SplitRrdb(nn.Module):
    """x4plus: (N, 3, H, W) in 0..1 to (N, 3, 4H, 4W); with a mask, for pictures of any sizes in one plane."""

    def __init__(
        self, network: nn.Module, operations: Operations | None = None, tail_pixels: int = TAIL_PIXELS
    ) -> None:
        """``network``: an ``RRDBNet`` of scale 4; its layers are shared where they stay as they are."""
        super().__init__()
        self._operations = operations or TorchOperations()
        self._tail_pixels = tail_pixels
        self.first = network.conv_first
        self.groups = nn.ModuleList(
            nn.ModuleList(
                SplitDenseBlock(block, self._operations) for block in (group.rdb1, group.rdb2, group.rdb3)
            )
            for group in network.body
        )
        self.behind_body = network.conv_body
        self.up1, self.up2 = PhaseConvolution(network.conv_up1), PhaseConvolution(network.conv_up2)
        self.high, self.last = network.conv_hr, network.conv_last

    def forward(self, planes: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """``mask``: (N, 1, H, W), 1 in pictures, 0 elsewhere, where ``planes`` must be 0 too."""
        features = masked(self.first(planes), mask)
        features = masked(self.behind_body(self._body(features, mask)), mask).add_(features)
        return self._in_strips(features, mask)

    def _body(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        for first, second, third in self.groups:
            features = third(second(first(features, mask), mask), mask, (features,))
        return features

    def _in_strips(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The layers behind the body, over a few rows at once: their memory does not grow with the plane."""
        count, _, height, width = features.shape
        rows = max(1, self._tail_pixels // (count * width))
        strips = []
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            first, last = max(0, top - _TAIL_REACH), min(height, bottom + _TAIL_REACH)
            part = features[:, :, first:last]
            strip = self._tail(part, None if mask is None else mask[:, :, first:last])
            strips.append(strip[:, :, (top - first) * 4 : (bottom - first) * 4])
        return strips[0] if len(strips) == 1 else torch.cat(strips, 2)

    def _tail(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        operations = self._operations
        twice = mask_twice(mask)
        four_times = mask_twice(twice)
        features = operations.enlarged(self.up1(features), twice)
        features = operations.enlarged(self.up2(features), four_times)
        features = operations.activated(self.high(features), four_times)
        return self.last(features)


def _convolution(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Conv2d:
    made = nn.Conv2d(
        weight.shape[1], weight.shape[0], 3, padding=1, bias=bias is not None, dtype=weight.dtype
    )
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return made
