"""Timing and comparing."""

from __future__ import annotations

import io
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gpu_container.settings import GpuSettings, NetworkWords

_PEAK = 255.0
_WARM_UP_FROM = 5


@dataclass(frozen=True)
class Pair:
    """Medians of both, seconds; ``ratio`` above 1: ours is faster."""

    peer_s: float
    ours_s: float

    @property
    def ratio(self) -> float:
        """How many times as fast ours is."""
        return self.peer_s / self.ours_s


def with_networks(settings: GpuSettings, **words: object) -> GpuSettings:
    """``settings`` with other words in ``networks``. Raises ``ValueError`` for one that is none."""
    networks = NetworkWords.model_validate({**settings.networks.model_dump(), **words})
    return settings.model_copy(update={"networks": networks})


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes once."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(peer: Callable[[], object], ours: Callable[[], object], rounds: int) -> Pair:
    """Medians of ``rounds``, in turns, so that a noisy moment meets both; many come after a warm-up."""
    if rounds >= _WARM_UP_FROM:
        ours()
        peer()
    times = [(seconds(peer), seconds(ours)) for _ in range(rounds)]
    return Pair(statistics.median(peer for peer, _ in times), statistics.median(ours for _, ours in times))


def decoded(data: bytes) -> np.ndarray:
    """Pixels of an encoded picture."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures of 8 bits, dB."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(_PEAK**2 / error)


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    """Of any pixel, in steps of 255."""
    return int(np.abs(one.astype(np.int16) - other).max())
