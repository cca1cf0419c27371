"""A nearest 2x enlargement and the 3x3 convolution behind it, as one convolution before the enlargement.

Of the nine pixels under a 3x3 kernel on the enlarged plane only four differ, two by two: a pixel of the large
plane sees a window of 2x2 small pixels, with weights that are sums of the nine. Which four depends on where
the pixel lies in its 2x2 (its phase). All four phases are one 2x2 convolution with four times the outputs: 16
multiplications for each small pixel and pair of channels instead of 36, and the enlarged plane is never read.
"""

from __future__ import annotations

import torch
from torch import nn

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


class PhaseConvolution(nn.Module):
    """(N, C, H, W) to (N, 4 * C_out, H + 1, W + 1): the phases of the enlarged plane, one behind the other.

    Phase (y, x) of the large pixel (2i + y, 2j + x) lies at (i + y, j + x). ``Operations.enlarged`` puts
    them together.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """``convolution``: 3x3 with one pixel of zeros around, as it stands behind the enlargement."""
        super().__init__()
        if convolution.kernel_size != (3, 3) or convolution.padding != (1, 1) or convolution.bias is None:
            raise ValueError("only a 3x3 convolution with padding 1 and a bias has phases")
        weight = convolution.weight.detach()
        self.convolution = nn.Conv2d(
            convolution.in_channels, 4 * convolution.out_channels, 2, padding=1, dtype=weight.dtype
        )
        folded = [_folded(_folded(weight, 2, y), 3, x) for y, x in PHASES]
        self.convolution.weight = nn.Parameter(torch.cat(folded), requires_grad=False)
        self.convolution.bias = nn.Parameter(convolution.bias.detach().repeat(4), requires_grad=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The phases of ``features`` (N, C, H, W)."""
        return self.convolution(features)


def _folded(weight: torch.Tensor, axis: int, phase: int) -> torch.Tensor:
    """Three weights along ``axis`` as the two that the pixels of ``phase`` need."""
    before, here, behind = weight.unbind(axis)
    pair = (before, here + behind) if phase == 0 else (before + here, behind)
    return torch.stack(pair, axis)
