"""Small pictures, each one new: a job must not find the stored results of another one's."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from imagery.provenance.local_authority import LocalSigner
from testbed.credentials import camera, manifest_of, signed
from testbed.stack import PHOTO

_SIDE = 40


def photo(kind: str) -> bytes:
    """A PNG of 40 x 40 px: ``subject`` (a cup), ``signed`` (by a camera, a cup too), ``noise`` without one,
    ``flat`` (rejected).
    """
    random = np.random.default_rng()
    if kind in {"subject", "signed"}:
        pixels = _cup().copy()
        pixels[:4, :4] = random.integers(0, 256, (4, 4, 3))
    elif kind == "noise":
        pixels = random.integers(90, 166, (_SIDE, _SIDE, 3), dtype=np.uint8)
    else:
        pixels = np.full((_SIDE, _SIDE, 3), random.integers(60, 200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return _signed(buffer.getvalue()) if kind == "signed" else buffer.getvalue()


def _signed(png: bytes) -> bytes:
    return signed(_camera(), png, "image/png", manifest_of("Camera", "digitalCapture"))


@lru_cache(maxsize=1)
def _camera() -> LocalSigner:
    return camera()


@lru_cache(maxsize=1)
def _cup() -> np.ndarray:
    with Image.open(PHOTO) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        return np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))
