"""The compact network (realesr-animevideov3) for pictures of any sizes in one plane."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gpu_container.networks.operations import masked


class MaskedCompact(nn.Module):
    """(N, 3, H, W) in 0..1 to (N, 3, scale*H, scale*W); layers are those of an ``SRVGGNetCompact``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers, self._scale = network.body, network.upscale

    def forward(self, planes: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """``mask``: (N, 1, H, W), 1 in pictures, 0 elsewhere, where ``planes`` must be 0 too."""
        features = planes
        for layer in self.layers:
            # activations keep zeros
            features = masked(layer(features), mask) if isinstance(layer, nn.Conv2d) else layer(features)
        grown = functional.pixel_shuffle(features, self._scale)
        return grown.add_(functional.interpolate(planes, scale_factor=self._scale, mode="nearest"))
