"""How much is let in: requests at once, decoded pixels at once, nothing while the service stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gpu_container.errors import ServiceBusyError, ServiceStartingError, ServiceStoppingError
from gpu_container.lane import JobLane
from gpu_container.settings import GpuSettings
from gpu_container.worker import GpuWorker

_LEAST_RETRY_AFTER_S = 1.0
MAX_RETRY_AFTER_S = 120.0
# encoded files held in memory at once
READERS = 4
# decoded pixels in memory at once; further requests wait
PIXELS_IN_FLIGHT = 140_000_000
_LOOK_S = 0.5


class Admission:
    """The door of the service."""

    def __init__(self, worker: GpuWorker) -> None:
        self._worker = worker
        self._settings: GpuSettings = worker.settings
        self._changed = threading.Condition()
        self._pixels = 0
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
        """Admit one more beside ``running`` requests.

        Raises ``ServiceStoppingError``, ``ServiceStartingError``, ``ServiceBusyError``.
        """
        if self.closed:
            raise ServiceStoppingError("The service is stopping.")
        if not self._worker.started:
            raise ServiceStartingError("The models are being loaded.")
        if running >= self._settings.queue_limit:
            asked = self._worker.scheduler.next_end_s()
            wait_s = min(max(_LEAST_RETRY_AFTER_S, asked), MAX_RETRY_AFTER_S)
            raise ServiceBusyError(f"{running} requests are being worked on already.", round(wait_s, 1))

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
        most = PIXELS_IN_FLIGHT
        with self._changed:
            while self._pixels and self._pixels + pixels > most:
                self._still_wanted(lane)
                self._changed.wait(_LOOK_S)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()

    def _still_wanted(self, lane: JobLane) -> None:
        lane.check()
        if self.closed:
            raise ServiceStoppingError("The service is stopping.")
