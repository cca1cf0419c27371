"""What is computed before the service is ready: every batch shape that pictures will need, within a bound."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gpu_container import worker as worker_module
from gpu_container.engine import DeviceMemory, DeviceMemoryError
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import GpuSettings, MemoryWords
from gpu_container.upscaler import Upscaler
from gpu_container.worker import GpuWorker

COMPACT = UPSCALE_MODELS["realesr-animevideov3"]
Planes = tuple[tuple[int, int], ...]
PLANES = ((64, 64), (129, 129), (129, 259))


class Device:
    """An engine that remembers its batches; one of more than ``most`` pixels has no memory."""

    name, precision = "fake", "fp16"
    tile_step, max_in_flight = 1, 2

    def __init__(self, device: str, planes: Planes, free: int, most: int) -> None:
        self.device, self.planes, self.free, self.most = device, planes, free, most
        self.useful_pixels = 16 * 64 * 64
        self.started: list[tuple[int, ...]] = []

    def start(self, batch: np.ndarray) -> SimpleNamespace:
        self.started.append(batch.shape)
        if batch.shape[0] * batch.shape[1] * batch.shape[2] > self.most:
            raise DeviceMemoryError("no memory")
        return SimpleNamespace(result=lambda: batch)

    def memory(self) -> DeviceMemory:
        return DeviceMemory(0, 0, self.free)

    def release(self) -> None:
        """It keeps nothing."""

    def reset_peak(self) -> None:
        """It counts nothing."""


def warmed_up(device: Device) -> list[tuple[int, ...]]:
    """Different shapes, in the order in which they were tried."""
    settings = GpuSettings(memory=MemoryWords(tile=64))
    worker = GpuWorker(settings)
    worker._warm_up(Upscaler(COMPACT, device, worker.scheduler, settings))
    assert worker.scheduler.pixels_s(1) > 0
    return list(dict.fromkeys(device.started))


SMALL, TILES = (1, 64, 64, 3), (16, 64, 64, 3)
ONE, FOUR, EIGHT = (1, 64, 64, 4), (1, 129, 129, 4), (1, 129, 259, 4)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (Device("cpu", (), 10**12, 10**9), [SMALL]),
        (Device("cuda", (), 10**12, 10**9), [SMALL, TILES]),
        (Device("cuda", PLANES, 10**12, 10**9), [EIGHT, FOUR, ONE]),
        (Device("cuda", PLANES, 129 * 129 * 900, 10**9), [ONE]),
        (Device("cuda", PLANES, 10**12, 129 * 129), [EIGHT, FOUR, ONE]),
    ],
    ids=["processor", "equal tiles", "planes", "planes that will be served", "no memory for the largest"],
)
def test_each_shape_that_will_be_served_is_warmed_up(device: Device, expected: list[tuple[int, ...]]) -> None:
    assert warmed_up(device) == expected
    fitting = [shape for shape in device.started if np.prod(shape[:3]) <= device.most]
    assert len(fitting) >= 2 * device.max_in_flight, "both slots, and once more from their graphs"


def test_a_device_without_memory_for_anything_is_told_and_a_slow_one_is_ready_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DeviceMemoryError):
        warmed_up(Device("cuda", PLANES, 10**12, 1))
    monkeypatch.setattr(worker_module, "_WARM_UP_S", 0.0)
    assert warmed_up(Device("cuda", PLANES, 10**12, 10**9)) == [EIGHT]
