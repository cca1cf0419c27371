"""The torch engine's way of CUDA, on the processor: slots, recorded graphs, precisions, its limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from drills.tiling import difference, picture
from gpu_container.engine import DeviceMemory, DeviceMemoryError, NotFiniteError
from gpu_container.models import UPSCALE_MODELS
from gpu_container.networks.compact import MaskedCompact
from gpu_container.settings import Precision
from gpu_container.torch_engine import CudaPlatform, HostPlatform, TorchEngine, TorchPlatform

COMPACT = UPSCALE_MODELS["realesr-animevideov3"]
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class RecordingPlatform(HostPlatform):
    """The processor, which records a graph as CUDA does: what ran is run again, on the same buffers."""

    max_in_flight = 2

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def record(self, forward: Callable[[], None]) -> Any:
        self.recorded += 1
        platform = self

        class Graph:
            def replay(self) -> None:
                platform.replayed += 1
                forward()

        return Graph()


@pytest.fixture(scope="module")
def network(cache: Path) -> nn.Module:
    return COMPACT.load(cache)


def engine(
    network: nn.Module, platform: TorchPlatform, precision: Precision = Precision.AUTO, max_graphs: int = 2
) -> TorchEngine:
    return TorchEngine(network, platform, precision=precision, tile_step=8, max_graphs=max_graphs)


def batch(count: int, height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.stack([picture(height, width, seed + number) for number in range(count)])


def alone(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """The network as torch runs it without any of ours."""
    with torch.inference_mode():
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        result: np.ndarray = (network(planes) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).byte().numpy()
    return result


def test_shapes_that_come_back_are_replayed_and_right(network: nn.Module) -> None:
    platform = RecordingPlatform()
    made = engine(network, platform)
    for seed in range(10):
        pixels = batch(2, 16, 16, seed=seed)
        assert difference(made.start(pixels).result(), alone(network, pixels)) <= 1
    assert platform.recorded == 2, "one graph for each of the two batches in flight"
    assert platform.replayed == 6


def test_batches_in_flight_do_not_overwrite_each_other(network: nn.Module) -> None:
    made = engine(network, RecordingPlatform())
    for seed in range(4):
        first, second = batch(1, seed=seed), batch(1, seed=seed + 50)
        running = made.start(first), made.start(second)
        assert difference(running[0].result(), alone(network, first)) <= 1
        assert difference(running[1].result(), alone(network, second)) <= 1


def test_a_shape_that_comes_once_is_not_recorded(network: nn.Module) -> None:
    platform = RecordingPlatform()
    made = engine(network, platform)
    for height in range(8, 16):
        pixels = batch(1, height=height)
        assert difference(made.start(pixels).result(), alone(network, pixels)) <= 1
    assert platform.recorded == 0


def test_a_plane_is_recorded_at_its_first_use_and_not_tried_again(cache: Path) -> None:
    class Refusing(RecordingPlatform):
        def record(self, forward: Callable[[], None]) -> Any:
            self.recorded += 1

    platform, plane = Refusing(), np.ones((1, 16, 16, 4), np.uint8)
    made = engine(MaskedCompact(COMPACT.load(cache)), platform)
    for _ in range(6):
        made.start(plane).result()
    assert platform.recorded == 2, "once for each of the two batches in flight"


@pytest.mark.parametrize(("planes", "free"), [((), 100), (((16, 16),), 170)])
def test_graphs_of_planes_are_no_reason_to_serve_fewer_of_them(
    network: nn.Module, planes: tuple[tuple[int, int], ...], free: int
) -> None:
    class Holding(HostPlatform):
        held = 70

        def memory(self) -> DeviceMemory:
            return DeviceMemory(0, 0, 100)

    made = TorchEngine(network, Holding(), precision=Precision.AUTO, tile_step=8, planes=planes)
    assert made.memory().free == free


def test_only_so_many_shapes_are_kept(network: nn.Module) -> None:
    platform = RecordingPlatform()
    made = engine(network, platform, max_graphs=1)
    for _ in range(4):
        for height in (8, 16, 24):
            made.start(batch(1, height=height)).result()
    assert platform.recorded == 0, "each was forgotten before it came back"


def test_what_was_released_is_built_again(network: nn.Module) -> None:
    made = engine(network, RecordingPlatform())
    pixels = batch(1)
    for _ in range(3):
        made.start(pixels).result()
        made.release()
        assert difference(made.start(pixels).result(), alone(network, pixels)) <= 1


@pytest.mark.parametrize(("precision", "least_db"), [(Precision.BF16, 45.0), (Precision.FP32, 80.0)])
def test_every_precision_is_near_the_exact_one(
    cache: Path, network: nn.Module, precision: Precision, least_db: float
) -> None:
    pixels = batch(1, 64, 64)
    result = engine(COMPACT.load(cache), HostPlatform(), precision).start(pixels).result()
    error = float(((result.astype(float) - alone(network, pixels)) ** 2).mean())
    assert 10 * math.log10(255**2 / max(error, 1e-9)) >= least_db


def test_memory_that_runs_out_is_told_as_such() -> None:
    class Greedy(nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no")

    with pytest.raises(DeviceMemoryError):
        engine(Greedy(), HostPlatform()).start(batch(1))


def test_numbers_that_are_none_are_told_as_such() -> None:
    class Overflowing(nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return planes.repeat_interleave(4, 2).repeat_interleave(4, 3) / 0

    with pytest.raises(NotFiniteError):
        engine(Overflowing(), HostPlatform()).start(batch(1)).result()


@NEEDS_CUDA
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_cuda_answers_as_the_processor_does(cache: Path, network: nn.Module, precision: Precision) -> None:
    made = engine(COMPACT.load(cache), CudaPlatform(), precision)
    for seed in range(6):
        pixels = batch(3, 128, 128, seed)
        result = made.start(pixels).result()
        error = float(((result.astype(float) - alone(network, pixels)) ** 2).mean())
        assert 10 * math.log10(255**2 / max(error, 1e-9)) >= 45
    memory = made.memory()
    assert memory.free is not None
    assert memory.used > 0


@NEEDS_CUDA
def test_cuda_memory_that_runs_out_is_told_and_given_back(cache: Path) -> None:
    made = engine(UPSCALE_MODELS["realesrgan-x4plus"].load(cache), CudaPlatform())
    free = made.memory().free
    with pytest.raises(DeviceMemoryError):
        made.start(np.zeros((64, 2048, 2048, 3), np.uint8))
    made.release()
    now = made.memory().free
    assert free is not None
    assert now is not None
    assert now > free * 0.9
    assert made.start(np.zeros((1, 64, 64, 3), np.uint8)).result().shape == (1, 256, 256, 3)
