"""The perceptual hash of a picture: that of ImageHash's ``phash``, bit for bit."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

_SIDE_PX, _FREQUENCIES = 32, 8


def perceptual_hash(picture: Image.Image) -> str:
    """The 64-bit pHash of ``picture`` as 16 hexadecimal digits.

    Each bit says whether one of the 64 lowest frequencies of the picture, 32 x 32 and grey, lies above their
    median (https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html).
    """
    grey = picture.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    columns = _cosine_transform(np.asarray(grey, np.float64).T)[:, :_FREQUENCIES]
    low = _cosine_transform(columns.T)[:, :_FREQUENCIES]
    return np.packbits(low > np.median(low)).tobytes().hex()


def _cosines() -> np.ndarray:
    """The cosine of k pi / 64 for k from 0 to 31, (32,) float64, rounded as in pocketfft.

    There the second half is the first one turned by pi / 4, whose cosine and sine are each computed as the
    other.
    """
    angles = [k * math.pi / (2 * _SIDE_PX) for k in range(_SIDE_PX // 2)]
    cosine, sine = math.sin(math.pi / 4), math.cos(math.pi / 4)
    turned = [math.cos(angle) * cosine - math.sin(angle) * sine for angle in angles]
    return np.array([*map(math.cos, angles), *turned])


_COSINES = _cosines()


def _cosine_transform(rows: np.ndarray) -> np.ndarray:
    """The discrete cosine transform, type II, without a norm, of each row: (N, 32) float64 in and out.

    It rounds as SciPy does, whose pocketfft takes the same steps. In a symmetric picture half of the
    frequencies are zero but for rounding, and rounding decides their bits: a product of matrices would change
    up to 31 of 64, and stored hashes would no longer find such pictures.
    """
    low, high = rows[:, 1:-1:2], rows[:, 2:-1:2]
    spectrum = np.empty((len(rows), _SIDE_PX // 2 + 1), np.complex128)
    spectrum[:, 0], spectrum[:, -1] = 2 * rows[:, 0], 2 * rows[:, -1]
    spectrum[:, 1:-1].real, spectrum[:, 1:-1].imag = high + low, high - low
    out = np.fft.irfft(spectrum, _SIDE_PX, norm="forward")
    k = np.arange(1, _SIDE_PX // 2)
    mirrored = _SIDE_PX - k
    total = _COSINES[k] * out[:, mirrored] + _COSINES[mirrored] * out[:, k]
    difference = _COSINES[k] * out[:, k] - _COSINES[mirrored] * out[:, mirrored]
    out[:, k], out[:, mirrored] = 0.5 * (total + difference), 0.5 * (total - difference)
    out[:, _SIDE_PX // 2] *= _COSINES[_SIDE_PX // 2]
    return out
