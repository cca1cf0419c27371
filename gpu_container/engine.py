"""What runs a network on a device: batches of equal tiles in, upscaled tiles out, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class DeviceMemoryError(Exception):
    """The device has no memory for this batch; a smaller one may do."""


class NotFiniteError(Exception):
    """The network answered with numbers that are none."""


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of the device, bytes. ``free`` is None where the device is the machine's own processor."""

    used: int
    peak: int
    free: int | None


class RunningBatch(Protocol):
    """A batch that is being computed."""

    def result(self) -> np.ndarray:
        """Wait for it: (N, H*scale, W*scale, 3) uint8, valid until the engine's next ``start``.

        Raises ``DeviceMemoryError``, ``NotFiniteError``.
        """
        ...


class UpscaleEngine(Protocol):
    """One network on one device. Not safe between threads: one thread owns the device.

    ``tile_step``: tile sides are multiples of it, so that few different shapes occur. ``max_in_flight``:
    batches that may be started before the first one's result is taken. ``useful_pixels``: larger batches
    bring no more throughput, they only take memory. ``planes``: height and width of planes in which tiles of
    any size may lie side by side; empty where a batch must hold tiles of one size.
    """

    name: str
    device: str
    precision: str
    tile_step: int
    max_in_flight: int
    useful_pixels: int
    planes: tuple[tuple[int, int], ...]

    def start(self, batch: np.ndarray) -> RunningBatch:
        """Begin to compute ``batch`` (N, H, W, 3) uint8. Raises ``DeviceMemoryError``.

        With ``planes`` it may be (1, H, W, 4): the last channel is 1 in tiles and 0, as the others, between.
        """
        ...

    def release(self) -> None:
        """Give cached memory back to the device."""
        ...

    def memory(self) -> DeviceMemory:
        """What the device's memory looks like now."""
        ...

    def reset_peak(self) -> None:
        """Reset ``peak``."""
        ...
