"""Background removal with the real network."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpu_container.background import BackgroundRemover
from gpu_container.errors import ModelUnavailableError, NoSubjectError
from gpu_container.lane import JobLane
from gpu_container.models import BACKGROUND_MODELS
from gpu_container.settings import GpuSettings
from testbed.stack import ROOT

FOREVER = math.inf
PHOTO = Path(__file__).parent.parent.parent / "local/samples/coffee.jpg"


@pytest.fixture(scope="session")
def remover(cache: Path) -> BackgroundRemover:
    return BackgroundRemover(GpuSettings(model_cache=cache), "cpu", at_once)


def at_once(run: Callable[[], Any], lane: JobLane) -> Any:
    """The device's thread of these tests is their own."""
    return run()


def test_the_cup_stays_and_the_table_goes(remover: BackgroundRemover) -> None:
    with Image.open(PHOTO) as photo:
        photo.load()
        pixels = remover.remove(photo, JobLane(FOREVER))
        colour = np.asarray(photo.convert("RGB"))
    assert pixels.shape == (400, 600, 4)
    assert pixels[200, 290, 3] > 250, "the coffee"
    assert pixels[30, 30, 3] < 5, "the corner of the table"
    assert pixels[380, 580, 3] < 5, "the other corner"
    visible = pixels[..., 3] > 0
    assert (pixels[visible][:, :3] == colour[visible]).all(), "visible colour must not be touched"
    assert pixels[~visible].max() == 0, "what was cut off must not be handed on"


@pytest.mark.parametrize(("size", "most"), [((512, 512), 1), ((1024, 700), 1), ((2048, 1500), 12)])
def test_the_matte_is_that_of_rembg_itself(
    remover: BackgroundRemover, size: tuple[int, int], most: int
) -> None:
    import rembg

    with Image.open(PHOTO) as opened:
        photo = opened.convert("RGB").resize(size)
    session = rembg.new_session("u2netp", providers=["CPUExecutionProvider"])
    peer = np.asarray(rembg.remove(photo, session=session))[..., 3].astype(int)
    difference = np.abs(remover.remove(photo, JobLane(FOREVER))[..., 3] - peer)
    assert difference.max() <= most
    assert difference.mean() < 0.5


def test_what_was_transparent_stays_so(remover: BackgroundRemover) -> None:
    with Image.open(PHOTO) as photo:
        given = photo.convert("RGBA")
    hole = Image.new("L", (60, 60), 0)
    alpha = given.getchannel("A")
    alpha.paste(hole, (260, 170))
    given.putalpha(alpha)
    assert remover.remove(given, JobLane(FOREVER))[180:220, 270:310, 3].max() == 0


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_picture_that_brings_its_own_cutout_keeps_it(remover: BackgroundRemover, shade: int) -> None:
    """A logo on transparency: a network sees no subject in it, or only a part of it."""
    logo = Image.new("RGBA", (300, 200), (255, 255, 255, 0))
    ImageDraw.Draw(logo).ellipse((100, 50, 200, 150), fill=(shade, shade, shade, 255))
    found = remover.remove(logo, JobLane(FOREVER))
    assert (found[..., 3] == np.asarray(logo.getchannel("A"))).all()
    assert (found[found[..., 3] == 255][:, :3] == shade).all()
    assert found[found[..., 3] == 0].max() == 0


def test_a_picture_of_nothing_but_transparency_holds_no_subject(remover: BackgroundRemover) -> None:
    with pytest.raises(NoSubjectError, match="transparent"):
        remover.remove(Image.new("RGBA", (300, 200), (9, 9, 9, 0)), JobLane(FOREVER))


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (200, 30, 30)])
def test_a_flat_picture_holds_no_subject(remover: BackgroundRemover, colour: tuple[int, int, int]) -> None:
    with pytest.raises(NoSubjectError):
        remover.remove(Image.new("RGB", (300, 200), colour), JobLane(FOREVER))


def test_a_missing_or_corrupt_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="missing"):
        BackgroundRemover(GpuSettings(model_cache=tmp_path), "cpu", at_once)
    (tmp_path / "u2netp.onnx").write_bytes(b"no network")
    with pytest.raises(ModelUnavailableError, match="corrupt"):
        BackgroundRemover(GpuSettings(model_cache=tmp_path), "cpu", at_once)


def test_cuda_that_is_not_there_is_an_error_and_no_slow_surprise(cache: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ModelUnavailableError, match="CUDA"):
        BackgroundRemover(GpuSettings(model_cache=cache), "cuda", at_once)


def test_onnxruntime_keeps_and_sends_nothing_of_its_own(cache: Path, tmp_path: Path) -> None:
    """In a process with a home of its own: the library makes a database there, unless it is told not to."""
    script = "import gpu_container, onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"
    model = BACKGROUND_MODELS["u2netp"].file.path(cache)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-c", script, str(model)]
    subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, check=True, cwd=ROOT, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
