"""Upscaling with the real compact network: tiled equals untiled, alpha kept, no fringe, bounded memory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from gpu_container.errors import DeadlineExceeded, ModelUnavailable, OutOfMemory
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import AlphaMethod
from gpu_container.upscaler import Upscaler, bleed

CPU = torch.device("cpu")
FOREVER = math.inf
COMPACT = UPSCALE_MODELS["realesr-animevideov3"]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colour with edges and noise, (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 13), np.sign(np.sin((x + y) / 17))]
    base = np.stack([127 + 90 * wave for wave in waves], axis=-1)
    return np.clip(base + random.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def compact(cache: Path) -> nn.Module:
    return COMPACT.load(cache, CPU)


def upscaler_of(network: nn.Module, tile: int = 64, alpha: AlphaMethod = AlphaMethod.FILTER) -> Upscaler:
    return Upscaler(COMPACT, network, CPU, tile=tile, min_tile=64, alpha=alpha)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(height=st.integers(1, 150), width=st.integers(1, 150), seed=st.integers(0, 9))
def test_tiled_equals_untiled_everywhere(compact: nn.Module, height: int, width: int, seed: int) -> None:
    upscaler, pixels = upscaler_of(compact), picture(height, width, seed)
    tiled = upscaler.upscale(pixels, FOREVER).pixels.astype(int)
    whole = upscaler.untiled(pixels).astype(int)
    assert tiled.shape == (height * 4, width * 4, 3)
    assert np.abs(tiled - whole).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (64, 65)])
def test_odd_shapes_equal_the_untiled_network(compact: nn.Module, height: int, width: int) -> None:
    upscaler, pixels = upscaler_of(compact), picture(height, width)
    difference = upscaler.upscale(pixels, FOREVER).pixels.astype(int) - upscaler.untiled(pixels)
    assert np.abs(difference).max() <= 1


def test_x4plus_tiles_equal_the_untiled_network(cache: Path) -> None:
    model = UPSCALE_MODELS["realesrgan-x4plus"]
    network = model.load(cache, CPU)
    upscaler = Upscaler(model, network, CPU, tile=168, min_tile=136, alpha=AlphaMethod.FILTER)
    pixels = picture(24, 176)
    result = upscaler.upscale(pixels, FOREVER)
    assert result.tiles == 2
    assert np.abs(result.pixels.astype(int) - upscaler.untiled(pixels)).max() <= 1


@pytest.mark.parametrize("method", list(AlphaMethod))
def test_alpha_is_kept(compact: nn.Module, method: AlphaMethod) -> None:
    pixels = np.dstack([picture(96, 96), np.zeros((96, 96), np.uint8)])
    pixels[32:64, 32:64, 3] = 255
    pixels[40, 40:56, 3] = 128
    matte = upscaler_of(compact, alpha=method).upscale(pixels, FOREVER).pixels[..., 3]
    assert matte.shape == (384, 384)
    assert matte[: 28 * 4].max() <= 2
    assert matte[50 * 4 : 60 * 4, 40 * 4 : 60 * 4].min() >= 253
    assert 60 < matte[40 * 4 + 1 : 40 * 4 + 3, 44 * 4 : 52 * 4].mean() < 220


def test_a_cut_out_has_no_fringe_of_its_old_background(compact: nn.Module) -> None:
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[20:60, 20:60] = (200, 60, 40, 255)
    result = upscaler_of(compact).upscale(pixels, FOREVER).pixels
    visible = result[..., 3] > 8
    worst = np.abs(result[visible][:, :3].astype(int) - (200, 60, 40)).max()
    assert worst <= 24, "black of transparent pixels bled into the visible edge"


def test_bleeding_changes_no_visible_pixel() -> None:
    pixels = np.dstack([picture(40, 40), np.zeros((40, 40), np.uint8)])
    pixels[10:20, 10:20, 3] = 7
    filled = bleed(pixels)
    assert (filled[10:20, 10:20] == pixels[10:20, 10:20, :3]).all()
    assert (filled[0, 0] == pixels[10, 10, :3]).all()
    assert (filled[39, 39] == pixels[19, 19, :3]).all()


def test_transparent_tiles_are_not_computed(compact: nn.Module) -> None:
    pixels = np.dstack([picture(64, 400), np.zeros((64, 400), np.uint8)])
    pixels[:, 350:, 3] = 255
    result = upscaler_of(compact).upscale(pixels, FOREVER)
    assert 0 < result.tiles <= 3


class ScarceMemory(nn.Module):
    """A device with memory for ``most`` pixels, in front of the real network."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network = network
        self.most = most

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[2] * batch.shape[3] > self.most:
            raise torch.OutOfMemoryError("no memory for this tile")
        result: torch.Tensor = self.network(batch)
        return result


def test_tiles_shrink_when_memory_runs_out(compact: nn.Module) -> None:
    pixels = picture(200, 200)
    scarce = upscaler_of(ScarceMemory(compact, 64 * 64), tile=256).upscale(pixels, FOREVER)
    plenty = upscaler_of(compact, tile=256).upscale(pixels, FOREVER)
    assert scarce.tiles > plenty.tiles
    assert np.abs(scarce.pixels.astype(int) - plenty.pixels).max() <= 1


def test_after_the_smallest_tile_memory_is_really_out(compact: nn.Module) -> None:
    with pytest.raises(OutOfMemory):
        upscaler_of(ScarceMemory(compact, 100), tile=256).upscale(picture(200, 200), FOREVER)


def test_a_deadline_that_passed_ends_the_work(compact: nn.Module) -> None:
    with pytest.raises(DeadlineExceeded):
        upscaler_of(compact).upscale(picture(80, 80), deadline=0.0)


def test_a_corrupt_weights_file_is_told(tmp_path: Path, cache: Path) -> None:
    data = bytearray(COMPACT.file.path(cache).read_bytes())
    data[1000] ^= 1
    COMPACT.file.path(tmp_path).write_bytes(data)
    with pytest.raises(ModelUnavailable, match="corrupt"):
        COMPACT.load(tmp_path, CPU)
