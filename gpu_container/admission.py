"""How much is let in: expected seconds, decoded pixels at once, nothing while the service stops."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gpu_container.errors import ServiceBusyError, ServiceStartingError, ServiceStoppingError
from gpu_container.lane import JobLane
from gpu_container.settings import GpuSettings
from gpu_container.worker import GpuWorker

_LEAST_RETRY_AFTER_S = 1.0
MAX_RETRY_AFTER_S = 120.0
# works that are admitted, each with a thread of its own
MOST_WORKS = 256
# encoded files held in memory at once
READERS = 4
# decoded pixels in memory at once; further pictures wait
PIXELS_IN_FLIGHT = 140_000_000
# pictures up to this size have a share of their own, so that they never wait behind large ones
SMALL_PIXELS, SMALL_IN_FLIGHT = 2_000_000, 20_000_000
_LOOK_S = 0.5


@dataclass
class _Share:
    """A part of the memory, in pixels; who waits for it is served in turn."""

    pixels: int = 0
    waiting: deque[object] = field(default_factory=deque)


class Admission:
    """The door of the service."""

    def __init__(self, worker: GpuWorker) -> None:
        self._worker = worker
        self._settings: GpuSettings = worker.settings
        self._changed = threading.Condition()
        self._large, self._small = _Share(), _Share()
        self._readers = threading.BoundedSemaphore(READERS)
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """True while the service stops."""
        return self._closed.is_set()

    def close(self) -> None:
        """Admit no more requests."""
        self._closed.set()

    def check(self, running: int) -> None:
        """Admit one more beside ``running`` works.

        Raises ``ServiceStoppingError``, ``ServiceStartingError``, ``ServiceBusyError``.
        """
        if self.closed:
            raise ServiceStoppingError("The service is stopping.")
        if not self._worker.started:
            raise ServiceStartingError("The models are being loaded.")
        if running >= MOST_WORKS:
            raise ServiceBusyError(f"{running} pictures are being worked on already.", MAX_RETRY_AFTER_S)

    def check_wait(self, wait_s: float) -> None:
        """Admit a work that will probably wait so long for the device. Raises ``ServiceBusyError``."""
        over_s = wait_s - self._settings.queue_s
        if over_s > 0:
            after_s = min(max(_LEAST_RETRY_AFTER_S, over_s), MAX_RETRY_AFTER_S)
            raise ServiceBusyError(f"The device is busy for about {wait_s:.0f} seconds.", round(after_s, 1))

    @contextmanager
    def reading(self, lane: JobLane) -> Iterator[None]:
        """Wait for one of the few places in which encoded files are held in memory.

        Raises what ended the ``lane``, ``ServiceStoppingError``.
        """
        while not self._readers.acquire(timeout=_LOOK_S):
            self._still_wanted(lane)
        try:
            yield
        finally:
            self._readers.release()

    @contextmanager
    def memory_for(self, pixels: int, lane: JobLane) -> Iterator[None]:
        """Wait until ``pixels`` more may be decoded; one picture alone always may.

        Raises what ended the ``lane``, ``ServiceStoppingError``.
        """
        is_small = pixels <= SMALL_PIXELS
        share, most = (self._small, SMALL_IN_FLIGHT) if is_small else (self._large, PIXELS_IN_FLIGHT)
        with self._changed:
            share.waiting.append(lane)
            try:
                while share.waiting[0] is not lane or (share.pixels and share.pixels + pixels > most):
                    self._still_wanted(lane)
                    self._changed.wait(_LOOK_S)
                share.pixels += pixels
            finally:
                share.waiting.remove(lane)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                share.pixels -= pixels
                self._changed.notify_all()

    def _still_wanted(self, lane: JobLane) -> None:
        lane.check()
        if self.closed:
            raise ServiceStoppingError("The service is stopping.")
