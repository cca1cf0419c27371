"""Tiles of any size in one plane: where they lie, and that the network's answers do not change by it."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drills.tiling import picture
from gpu_container.atlas import Atlas, planes_for, smallest
from gpu_container.engine import DeviceMemoryError
from gpu_container.errors import ServiceStoppingError
from gpu_container.lane import JobLane
from gpu_container.models import UPSCALE_MODELS
from gpu_container.networks.forms import masked_form
from gpu_container.scheduler import Scheduler
from gpu_container.settings import GpuSettings, MemoryWords, Precision
from gpu_container.torch_engine import HostPlatform, TorchEngine
from gpu_container.upscaler import Upscaler

COMPACT = UPSCALE_MODELS["realesr-animevideov3"]


def test_tiles_lie_apart_and_inside() -> None:
    chosen = random.Random(3)
    atlas = Atlas(100, 160)
    for _ in range(200):
        atlas.add(chosen.randint(1, 40), chosen.randint(1, 60))
    counts = np.zeros((101, 161), int)
    for box in atlas.boxes:
        counts[box.top : box.top + box.height + 1, box.left : box.left + box.width + 1] += 1
        assert box.top + box.height <= 100
        assert box.left + box.width <= 160
    assert counts.max() == 1, "each has a row and a column of its own behind it"
    assert sum(box.height * box.width for box in atlas.boxes) > 0.7 * atlas.pixels


@pytest.mark.parametrize(
    ("sizes", "plane"),
    [
        ([(512, 512)], (512, 512)),
        ([(512, 512)] * 4, (1025, 1025)),
        ([(512, 512)] * 8, (1025, 2051)),
        ([(512, 512)] * 9, None),
        ([(1025, 1025)] * 2, (1025, 2051)),
        ([(128, 128)] * 10, (1025, 1025)),
        ([(1026, 10)], None),
        ([(10, 2052)], None),
    ],
)
def test_the_smallest_plane_is_taken(sizes: list[tuple[int, int]], plane: tuple[int, int] | None) -> None:
    found = smallest(sizes, planes_for(512))
    assert (found and (found.height, found.width)) == plane


class CountingEngine(TorchEngine):
    """The torch engine on the processor with planes; a plane of more than ``most`` pixels has no memory."""

    most = 10**9

    def start(self, batch: np.ndarray) -> Any:
        self.shapes = [*getattr(self, "shapes", []), batch.shape]
        if batch.shape[1] * batch.shape[2] > self.most:
            raise DeviceMemoryError("no memory")
        return super().start(batch)


def engine(cache: Path, planes: tuple[tuple[int, int], ...]) -> CountingEngine:
    form = masked_form(COMPACT.load(cache), "cpu")
    assert form is not None
    return CountingEngine(form, HostPlatform(), precision=Precision.FP32, tile_step=8, planes=planes)


def upscaled(made: TorchEngine, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """All at once, through the scheduler."""
    settings, scheduler = GpuSettings(memory=MemoryWords(tile=64)), Scheduler(4)
    upscaler = Upscaler(COMPACT, made, scheduler, settings)
    thread = threading.Thread(target=scheduler.run, daemon=True)
    lanes = [JobLane(time.monotonic() + 120) for _ in pictures]

    def run(pixels: np.ndarray, lane: JobLane) -> np.ndarray:
        return np.concatenate(list(upscaler.bands(pixels, lane)))

    with ThreadPoolExecutor(len(pictures)) as pool:
        running = [pool.submit(run, *each) for each in zip(pictures, lanes, strict=True)]
        while not all(lane.waiting or lane.over for lane in lanes):
            time.sleep(0.01)
        thread.start()
        results = [each.result(120) for each in running]
    scheduler.cancel_all(ServiceStoppingError("the test is over"))
    thread.join(5)
    return results


def assert_same(results: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """At most 1/255 in one of 10000 values."""
    for result, exact in zip(results, wanted, strict=True):
        differences = np.abs(result.astype(int) - exact)
        assert differences.max() <= 1
        assert (differences > 0).mean() <= 1e-4


@pytest.mark.models
@pytest.mark.parametrize("most", [10**9, 100 * 100], ids=["one plane", "no memory for the largest"])
def test_pictures_of_any_size_share_a_batch_and_come_out_as_alone(cache: Path, most: int) -> None:
    made = engine(cache, planes_for(64))
    made.most = most
    pictures = [picture(h, w, h) for h, w in ((64, 64), (17, 40), (33, 90), (5, 128), (70, 31))]
    results = upscaled(made, pictures)
    assert made.shapes[0] == (1, 129, 129, 4)
    assert len(made.shapes) == 1 if most > 10**6 else len(made.shapes) > 5
    alone = engine(cache, ())
    assert_same(results, [alone.start(pixels[None]).result()[0].copy() for pixels in pictures])


@pytest.mark.models
def test_a_picture_larger_than_every_plane_is_tiled_into_them(cache: Path) -> None:
    made = engine(cache, planes_for(64))
    pixels = picture(150, 140)
    result = upscaled(made, [pixels])
    assert {shape for shape in made.shapes if shape[-1] != 4} == set()
    assert_same(result, [engine(cache, ()).start(pixels[None]).result()[0]])
