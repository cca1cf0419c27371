"""Hashes of blocked pictures are those of ImageHash, so that lists made with it stay good."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from imagehash import phash
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from imagery.guardrail.perceptual_hash import perceptual_hash

ROOT = Path(__file__).parent.parent.parent.parent


def photos() -> Iterator[Image.Image]:
    """The sample as it is, and as people change it."""
    with Image.open(ROOT / "local/samples/coffee.jpg") as opened:
        photo = opened.convert("RGB")
    yield photo
    for degrees in (3, 90, 180):
        yield photo.rotate(degrees, expand=True)
    for factor in (0.4, 1.7):
        yield ImageEnhance.Brightness(photo).enhance(factor)
        yield ImageEnhance.Contrast(photo).enhance(factor)
    yield photo.filter(ImageFilter.GaussianBlur(6))
    yield photo.resize((97, 311))
    for left in range(0, 300, 60):
        yield photo.crop((left, left, left + 200, left + 150))
    for quality in (5, 40):
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=quality)
        yield Image.open(buffer)


def random_pictures(count: int) -> Iterator[Image.Image]:
    chance = np.random.default_rng(1)
    for _ in range(count):
        height, width = chance.integers(8, 300, 2)
        coarse = Image.fromarray(chance.integers(0, 256, (9, 11, 3), np.uint8))
        yield coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC)
        yield Image.fromarray(chance.integers(0, 256, (int(height), int(width)), np.uint8))


def symmetric_pictures() -> Iterator[Image.Image]:
    """Logos, patterns and mirror images: half of their frequencies are zero, but for rounding."""
    for grey in (0, 1, 77, 128, 255):
        yield Image.new("L", (64, 48), grey)
    for side in range(60, 500, 7):
        for paint in ("ellipse", "rectangle"):
            logo = Image.new("RGB", (side, side), "white")
            getattr(ImageDraw.Draw(logo), paint)((9, 9, side - 10, side - 10), fill=(side % 200, 40, 160))
            yield logo
        halves = Image.new("L", (side, side), 255)
        halves.paste(side % 256, (0, 0, side // 2, side))
        yield halves
        stripes = np.arange(side) // 6 % 2 * 200
        yield Image.fromarray(np.tile(stripes.astype(np.uint8), (side, 1)))
        yield Image.linear_gradient("L").resize((side, 300))
    with Image.open(ROOT / "local/samples/coffee.jpg") as opened:
        half = opened.convert("RGB").crop((0, 0, 300, 400))
    mirrored = Image.new("RGB", (600, 400))
    mirrored.paste(half, (0, 0))
    mirrored.paste(ImageOps.mirror(half), (300, 0))
    for side in range(100, 500, 20):
        yield mirrored.resize((side, side))


@pytest.mark.parametrize(
    "pictures",
    [photos, lambda: random_pictures(300), symmetric_pictures],
    ids=["photos", "random", "symmetric"],
)
def test_the_hash_is_the_one_of_imagehash(pictures: Callable[[], Iterator[Image.Image]]) -> None:
    for picture in pictures():
        assert perceptual_hash(picture) == str(phash(picture))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_so_it_is_in_every_mode(mode: str) -> None:
    with Image.open(ROOT / "local/samples/coffee.jpg") as photo:
        picture = photo.convert(mode)
    assert perceptual_hash(picture) == str(phash(picture))
