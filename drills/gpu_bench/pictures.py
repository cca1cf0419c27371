"""The pictures of the benchmark, all made of one photograph, as encoded files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

PHOTO = Path(__file__).parents[2] / "local/samples/coffee.jpg"


def photo(width: int, height: int) -> Image.Image:
    """The photograph in another size, RGB."""
    with Image.open(PHOTO) as opened:
        return opened.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)


def half_transparent(width: int, height: int) -> Image.Image:
    """A cut-out whose visible half is a slanted stripe with soft edges, RGBA."""
    x = np.arange(width, dtype=np.float32) - width / 2
    y = np.arange(height, dtype=np.float32)[:, None] - height / 2
    # distance from the stripe's axis; half of the pixels lie within it
    distance = np.abs(x + y * np.float32(0.2))
    alpha = np.clip((width / 4 - distance) * 64, 0, 255).astype(np.uint8)
    cutout = photo(width, height)
    cutout.putalpha(Image.fromarray(alpha))
    return cutout


def encoded(image: Image.Image) -> bytes:
    """As PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
