"""Pictures for tests that are worth cutting out: with edges, light and shadow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SAMPLE = Path(__file__).parent.parent / "local/samples/coffee.jpg"


def picture(width: int = 64, height: int = 48, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A coloured gradient with a bright disc and some grain."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = columns / max(1, width - 1), rows / max(1, height - 1)
    disc = ((across - 0.5) ** 2 + (down - 0.5) ** 2) < 0.09
    base = np.stack([40 + 120 * across, 60 + 100 * down, 160 - 100 * across], axis=2)
    base[disc] = (230, 200, 60)
    grain = np.random.default_rng(seed).normal(0, 6, base.shape)
    return Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8)).convert(mode)


def small_photo() -> bytes:
    """The bundled photo, 160 pixels wide: a JPEG that costs the networks a fifth of the time."""
    with Image.open(SAMPLE) as whole:
        small = whole.convert("RGB").resize((160, 107), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def encoded(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (64, 48), **save: Any) -> bytes:
    """``picture`` as a file of ``kind``."""
    buffer = io.BytesIO()
    picture(*size, mode=mode).save(buffer, kind, **save)
    return buffer.getvalue()
