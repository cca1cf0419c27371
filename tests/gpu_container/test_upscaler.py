"""Upscaling with the real compact network: tiled equals untiled, alpha kept, no fringe, bounded memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from drills.tiling import difference, picture, sizes, untiled
from gpu_container import upscaler as upscaler_module
from gpu_container.engine import UpscaleEngine
from gpu_container.engines import make_engine
from gpu_container.errors import (
    DeadlineExceededError,
    ModelUnavailableError,
    OutOfMemoryError,
    ServiceStoppingError,
    StageError,
)
from gpu_container.kept_bands import KeptBands
from gpu_container.lane import JobLane
from gpu_container.models import UPSCALE_MODELS, UpscaleModel
from gpu_container.scheduler import Scheduler
from gpu_container.settings import GpuSettings, MemoryWords, NetworkWords, Precision, Runtime
from gpu_container.torch_engine import HostPlatform, TorchEngine
from gpu_container.upscaler import Upscaler, bleed, resize_rows
from imagery.contracts import BlobRef
from imagery.storage import LocalStorage, StorageError

FOREVER = math.inf
COMPACT = UPSCALE_MODELS["realesr-animevideov3"]
X4PLUS = UPSCALE_MODELS["realesrgan-x4plus"]

Make = Callable[..., Upscaler]


def torch_engine(network: nn.Module) -> TorchEngine:
    return TorchEngine(network, HostPlatform(), precision=Precision.AUTO, tile_step=8, max_graphs=4)


@pytest.fixture(scope="session")
def compact(cache: Path) -> nn.Module:
    return COMPACT.load(cache)


@pytest.fixture(scope="session", params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest, cache: Path) -> UpscaleEngine:
    runtime = Runtime(request.param)
    return make_engine(
        COMPACT, COMPACT.load(cache), GpuSettings(networks=NetworkWords(runtime=runtime)), "cpu"
    )


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Upscalers with small tiles, each behind a running scheduler."""
    schedulers = []

    monkeypatch.setattr(upscaler_module, "MIN_TILE", 64)

    def upscaler(
        engine: UpscaleEngine, model: UpscaleModel = COMPACT, max_batch: int = 4, tile: int = 64
    ) -> Upscaler:
        scheduler = Scheduler(max_batch)
        made = Upscaler(model, engine, scheduler, GpuSettings(memory=MemoryWords(tile=tile)))
        threading.Thread(target=scheduler.run, daemon=True).start()
        schedulers.append(scheduler)
        return made

    yield upscaler
    for scheduler in schedulers:
        scheduler.cancel_all(ServiceStoppingError("the test is over"))


# ``make drill NAME=tiling`` takes 200 sizes
@pytest.mark.parametrize(("height", "width"), sizes(6, seed=1))
def test_tiled_equals_untiled_everywhere(make: Make, engine: UpscaleEngine, height: int, width: int) -> None:
    pixels = picture(height, width)
    tiled = make(engine).upscale(pixels, FOREVER).pixels
    assert difference(tiled, untiled(engine, pixels)) <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (64, 65), (1, 3_000)])
def test_odd_shapes_equal_the_untiled_network(
    make: Make, engine: UpscaleEngine, height: int, width: int
) -> None:
    pixels = picture(height, width)
    assert difference(make(engine).upscale(pixels, FOREVER).pixels, untiled(engine, pixels)) <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (3, 7), (4, 4)])
def test_a_few_pixels_keep_their_colour(make: Make, engine: UpscaleEngine, size: tuple[int, int]) -> None:
    for colour in ((200, 100, 50), (0, 0, 0), (255, 255, 255)):
        result = make(engine).upscale(np.full((*size, 3), colour, np.uint8), FOREVER).pixels
        assert result.shape == (size[0] * 4, size[1] * 4, 3)
        assert np.abs(result.astype(int) - colour).mean() < 6


def test_both_engines_agree(cache: Path, compact: nn.Module) -> None:
    pixels = picture(60, 50)
    reference = untiled(torch_engine(compact), pixels)
    exact = make_engine(
        COMPACT, COMPACT.load(cache), GpuSettings(networks=NetworkWords(precision=Precision.FP32)), "cpu"
    )
    assert difference(untiled(exact, pixels), reference) <= 1
    fast = make_engine(
        COMPACT, COMPACT.load(cache), GpuSettings(networks=NetworkWords(precision=Precision.BF16)), "cpu"
    )
    error = untiled(fast, pixels).astype(float) - reference
    assert 10 * math.log10(255**2 / max(1e-9, (error**2).mean())) > 50, "PSNR in dB"


def test_x4plus_tiles_equal_the_untiled_network(make: Make, cache: Path) -> None:
    settings = GpuSettings(networks=NetworkWords(runtime=Runtime.TORCH, precision=Precision.FP32))
    engine = make_engine(X4PLUS, X4PLUS.load(cache), settings, "cpu")
    # no larger than two tiles must be: each pixel costs this network a hundred million operations
    pixels = picture(6, 176)
    result = make(engine, X4PLUS, tile=160).upscale(pixels, FOREVER)
    assert result.tiles == 2
    assert difference(result.pixels, untiled(engine, pixels)) <= 1


def test_alpha_is_kept(make: Make, engine: UpscaleEngine) -> None:
    pixels = np.dstack([picture(96, 96), np.zeros((96, 96), np.uint8)])
    pixels[32:64, 32:64, 3] = 255
    pixels[40, 40:56, 3] = 128
    matte = make(engine).upscale(pixels, FOREVER).pixels[..., 3]
    assert matte.shape == (384, 384)
    assert matte[: 28 * 4].max() <= 2
    assert matte[50 * 4 : 60 * 4, 40 * 4 : 60 * 4].min() >= 253
    assert 60 < matte[40 * 4 + 1 : 40 * 4 + 3, 44 * 4 : 52 * 4].mean() < 220


def test_rows_are_filtered_as_if_all_were(engine: UpscaleEngine) -> None:
    plane = picture(70, 50)[..., 0]
    whole = resize_rows(plane, 0, 70, 4)
    parts = [resize_rows(plane, start, min(start + 16, 70), 4) for start in range(0, 70, 16)]
    assert (np.concatenate(parts) == whole).all()


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255)])
def test_a_cut_out_has_no_fringe_of_its_old_background(
    make: Make, engine: UpscaleEngine, background: tuple[int, int, int]
) -> None:
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[..., :3] = background
    pixels[20:60, 20:60] = (200, 60, 40, 255)
    result = make(engine).upscale(pixels, FOREVER).pixels
    visible = result[..., 3] > 8
    worst = np.abs(result[visible][:, :3].astype(int) - (200, 60, 40)).max()
    assert worst <= 24, "the colour of transparent pixels bled into the visible edge"


def test_bleeding_changes_no_visible_pixel() -> None:
    pixels = np.dstack([picture(40, 40), np.zeros((40, 40), np.uint8)])
    pixels[10:20, 10:20, 3] = 7
    filled = bleed(pixels)
    assert (filled[10:20, 10:20] == pixels[10:20, 10:20, :3]).all()
    assert (filled[0, 0] == pixels[10, 10, :3]).all()
    assert (filled[39, 39] == pixels[19, 19, :3]).all()


def test_bleeding_of_a_high_picture_reaches_over_its_strips() -> None:
    pixels = np.zeros((2100, 8, 4), np.uint8)
    pixels[1030] = (10, 20, 30, 255)
    filled = bleed(pixels)
    assert (filled[1000:1100] == (10, 20, 30)).all()


def test_transparent_tiles_are_not_computed(make: Make, engine: UpscaleEngine) -> None:
    pixels = np.dstack([picture(64, 400), np.zeros((64, 400), np.uint8)])
    pixels[:, 350:, 3] = 255
    result = make(engine).upscale(pixels, FOREVER)
    assert 0 < result.tiles <= 3
    assert result.pixels[:, : 300 * 4].max() == 0


def test_what_is_visible_does_not_depend_on_what_is_skipped(make: Make, engine: UpscaleEngine) -> None:
    pixels = np.dstack([picture(200, 200), np.zeros((200, 200), np.uint8)])
    pixels[:40, :30, 3] = pixels[150:, 170:, 3] = 255
    result = make(engine).upscale(pixels, FOREVER).pixels
    whole = untiled(engine, bleed(pixels))
    visible = np.repeat(np.repeat(pixels[..., 3] > 0, 4, axis=0), 4, axis=1)
    assert difference(result[visible][:, :3], whole[visible]) <= 1


def test_a_fully_transparent_picture_needs_no_network(make: Make, engine: UpscaleEngine) -> None:
    result = make(engine).upscale(np.zeros((30, 500, 4), np.uint8), FOREVER)
    assert (result.pixels.shape, result.pixels.max(), result.tiles) == ((120, 2000, 4), 0, 0)


class ScarceMemory(nn.Module):
    """An allocator with ``most`` bytes for activations, in front of the real network."""

    BYTES_PER_PIXEL = 1000

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network = network
        self.most = most
        self.asked: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        asked = batch.shape[0] * batch.shape[2] * batch.shape[3] * self.BYTES_PER_PIXEL
        self.asked.append(asked)
        if asked > self.most:
            raise torch.OutOfMemoryError("no memory for this batch")
        result: torch.Tensor = self.network(batch)
        return result


def test_batches_shrink_first_and_then_tiles(make: Make, compact: nn.Module) -> None:
    pixels = picture(120, 380)
    scarce = ScarceMemory(compact, 12_000_000)
    upscaler = make(torch_engine(scarce), tile=128)
    plenty = make(torch_engine(compact), tile=128).upscale(pixels, FOREVER)
    result = upscaler.upscale(pixels, FOREVER)
    assert difference(result.pixels, plenty.pixels) <= 1
    failures = [asked for asked in scarce.asked if asked > scarce.most]
    tile = 120 * 128 * ScarceMemory.BYTES_PER_PIXEL
    assert failures == [4 * tile, 2 * tile, tile], "a batch of 4, of 2, of one; then halves of the tile"


def test_finished_tiles_are_kept_when_memory_runs_out_later(make: Make, compact: nn.Module) -> None:
    class SuddenlyScarce(ScarceMemory):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if len(self.asked) == 3:
                self.most = 120 * 100 * self.BYTES_PER_PIXEL
            return super().forward(batch)

    scarce = SuddenlyScarce(compact, 10**12)
    pixels = picture(200, 200)
    result = make(torch_engine(scarce), tile=128, max_batch=1).upscale(pixels, FOREVER)
    plenty = make(torch_engine(compact), tile=128).upscale(pixels, FOREVER)
    assert difference(result.pixels, plenty.pixels) <= 1
    tile = 120 * 120 * ScarceMemory.BYTES_PER_PIXEL
    assert scarce.asked.count(tile) == 4, "three went well, the fourth did not, none of them again"
    assert result.tiles == 5


def test_after_the_smallest_tile_memory_is_really_out(make: Make, compact: nn.Module) -> None:
    upscaler = make(torch_engine(ScarceMemory(compact, 100)), tile=256)
    with pytest.raises(OutOfMemoryError, match="Not even a tile"):
        upscaler.upscale(picture(200, 200), FOREVER)


def test_memory_that_is_back_is_used_again(make: Make, compact: nn.Module) -> None:
    scarce = ScarceMemory(compact, 80 * 80 * ScarceMemory.BYTES_PER_PIXEL)
    upscaler = make(torch_engine(scarce), tile=256)
    few = upscaler.upscale(picture(200, 200), FOREVER)
    scarce.most = 10**12
    while upscaler.scheduler.busy:
        threading.Event().wait(0.01)
    assert upscaler.upscale(picture(200, 200), FOREVER).tiles == 1 < few.tiles


class NotANumber(nn.Module):
    """Answers with infinity where the picture is white."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(batch)
        return torch.where(batch.amin(dim=(1, 2, 3), keepdim=True) == 1, torch.inf, result)


def test_a_network_that_overflows_fails_only_the_picture_it_overflows_on(
    make: Make, compact: nn.Module
) -> None:
    upscaler = make(torch_engine(NotANumber(compact)))
    pictures = [picture(40, 40, seed) for seed in range(3)] + [np.full((40, 40, 3), 255, np.uint8)]
    outcomes: dict[int, object] = {}

    def one(number: int) -> None:
        try:
            outcomes[number] = upscaler.upscale(pictures[number], FOREVER).pixels
        except StageError as error:
            outcomes[number] = error.code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[3] == "gpu_failed"
    healthy = torch_engine(compact)
    for number in range(3):
        result = outcomes[number]
        assert isinstance(result, np.ndarray)
        assert difference(result, untiled(healthy, pictures[number])) <= 1


def test_a_deadline_that_passed_ends_the_work(make: Make, engine: UpscaleEngine) -> None:
    with pytest.raises(DeadlineExceededError):
        make(engine).upscale(picture(80, 80), deadline=0.0)


def test_memory_does_not_grow_with_rows_nobody_takes(make: Make, engine: UpscaleEngine) -> None:
    upscaler = make(engine)
    lane = JobLane(FOREVER)
    rows = upscaler.bands(picture(1000, 40), lane)
    next(rows)
    while upscaler.scheduler.busy:
        threading.Event().wait(0.01)
    assert lane.computed <= 3
    assert len(np.concatenate(list(rows))) > 3000
    assert lane.computed > 20


def kept_bands(storage: LocalStorage, version: str = "1") -> KeptBands:
    kept = KeptBands(storage, BlobRef(container="jobs", name="j/2.png"), version)
    kept.look()
    return kept


def test_work_that_is_taken_over_goes_on_from_the_rows_that_are_there(
    make: Make, engine: UpscaleEngine, tmp_path: Path
) -> None:
    storage = LocalStorage(tmp_path)
    pixels = np.dstack([picture(700, 60), np.full((700, 60), 200, np.uint8)])
    whole = make(engine).upscale(pixels, FOREVER)
    upscaler, first = make(engine), JobLane(FOREVER)
    rows = upscaler.bands(pixels, first, kept_bands(storage))
    for _ in range(3):
        next(rows)
    rows.close()
    stopped_after = first.computed
    kept, second = kept_bands(storage), JobLane(FOREVER)
    assert np.array_equal(np.concatenate(list(upscaler.bands(pixels, second, kept))), whole.pixels)
    assert second.resumed >= 3
    assert (second.computed, second.total) == (whole.tiles - second.resumed, whole.tiles)
    assert stopped_after - second.resumed <= 2, "at most the rows under way are computed again"
    kept.drop()
    assert list(storage.list("jobs", "j/")) == []


def test_rows_of_another_picture_or_damaged_ones_are_not_taken(
    make: Make, engine: UpscaleEngine, tmp_path: Path
) -> None:
    storage, pixels = LocalStorage(tmp_path), picture(400, 60)
    upscaler, whole = make(engine), make(engine).upscale(pixels, FOREVER)
    list(upscaler.bands(pixels, JobLane(FOREVER), kept_bands(storage)))
    for ref in storage.list("jobs", "j/"):
        storage.write(ref, storage.read(ref)[:200], "image/png")
    for kept in (kept_bands(storage), kept_bands(storage, "2")):
        lane = JobLane(FOREVER)
        assert np.array_equal(np.concatenate(list(upscaler.bands(pixels, lane, kept))), whole.pixels)
        assert (lane.resumed, lane.computed) == (0, whole.tiles)


def test_a_store_that_keeps_nothing_costs_no_picture(
    make: Make, engine: UpscaleEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StorageError("away")

    storage = LocalStorage(tmp_path)
    for name in ("list", "write", "read", "delete"):
        monkeypatch.setattr(storage, name, away)
    kept = kept_bands(storage)
    rows = list(make(engine).bands(picture(300, 60), JobLane(FOREVER), kept))
    assert len(np.concatenate(rows)) == 1200
    kept.drop()


def test_a_job_whose_rows_are_no_longer_wanted_leaves_the_device(make: Make, engine: UpscaleEngine) -> None:
    upscaler = make(engine)
    rows = upscaler.bands(picture(1000, 40), JobLane(FOREVER))
    next(rows)
    assert upscaler.scheduler.jobs == 1
    rows.close()
    assert upscaler.scheduler.jobs == 0


def test_a_corrupt_weights_file_is_told(tmp_path: Path, cache: Path) -> None:
    data = bytearray(COMPACT.file.path(cache).read_bytes())
    data[1000] ^= 1
    COMPACT.file.path(tmp_path).write_bytes(data)
    with pytest.raises(ModelUnavailableError, match="corrupt"):
        COMPACT.load(tmp_path)
