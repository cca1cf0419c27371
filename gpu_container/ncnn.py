"""Reads the weights of an ncnn ``.bin`` file into a torch network of the same layers in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

_TAG_FP16 = 0x01306B47
_TAG_FP32 = 0
_TAG_BYTES = 4


class WeightsError(ValueError):
    """The file does not hold this network."""


def read_state(path: Path, network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of ``network``: convolutions (weight, bias) and PReLU slopes in file order.

    Raises ``WeightsError`` when sizes do not fit to the last byte.
    """
    data = path.read_bytes()
    state: dict[str, torch.Tensor] = {}
    position = 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            weight, position = _tagged(data, position, module.weight.numel())
            state[f"{name}.weight"] = weight.reshape(module.weight.shape)
            if module.bias is not None:
                state[f"{name}.bias"], position = _plain(data, position, module.bias.numel())
        elif isinstance(module, nn.PReLU):
            state[f"{name}.weight"], position = _plain(data, position, module.weight.numel())
    if position != len(data):
        raise WeightsError(f"{path.name} holds {len(data)} bytes, the network takes {position}")
    return state


def _tagged(data: bytes, position: int, count: int) -> tuple[torch.Tensor, int]:
    tag = int.from_bytes(data[position : position + _TAG_BYTES], "little")
    position += _TAG_BYTES
    if tag == _TAG_FP32:
        return _plain(data, position, count)
    if tag != _TAG_FP16:
        raise WeightsError(f"unknown weight tag {tag:#x} at byte {position - _TAG_BYTES}")
    size = (count * 2 + 3) // 4 * 4
    values = _array(data, position, count, np.dtype("<f2"))
    return torch.from_numpy(values.astype(np.float32)), position + size


def _plain(data: bytes, position: int, count: int) -> tuple[torch.Tensor, int]:
    values = _array(data, position, count, np.dtype("<f4"))
    return torch.from_numpy(values.copy()), position + count * 4


def _array(data: bytes, position: int, count: int, kind: np.dtype[np.generic]) -> np.ndarray:
    if position + count * kind.itemsize > len(data):
        raise WeightsError("the file ends before the network's last layer")
    return np.frombuffer(data, kind, count, position)
