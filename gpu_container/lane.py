"""One job's place in the scheduler: the tiles that wait for the device, and how the job ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpu_container.errors import DeadlineExceededError, StageError

_LOOK_S = 0.5


class WaitingTile(Protocol):
    """One tile that waits for the device."""

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        ...

    def deliver(self, result: np.ndarray) -> None:
        """Take the upscaled tile (H*scale, W*scale, 3) uint8; it is only valid during the call."""
        ...

    def halves(self) -> Sequence[WaitingTile]:
        """Smaller tiles in the place of this one; empty when it is the smallest."""
        ...


@dataclass(frozen=True)
class DeviceCall:
    """Something else than a tile that needs the device."""

    run: Callable[[], Any]


class JobLane:
    """One job's place in the scheduler: its waiting tiles, and how it ended.

    ``left``: what is still to be computed, pixels; turns and waiting times go by it. ``total``: tiles of the
    whole job, ``computed`` of them done here and ``resumed`` by an earlier work. ``device_s``: what the
    device has worked for it, seconds.
    """

    def __init__(self, deadline: float, left: int = 0) -> None:
        """``deadline``: time.monotonic() seconds."""
        self.deadline = deadline
        self.left = left
        self.changed = threading.Condition()
        self.computed = 0
        self.total = 0
        self.device_s = 0.0
        self.resumed = 0
        self._error: StageError | None = None
        self.waiting: deque[WaitingTile | DeviceCall] = deque()

    def extend(self, deadline: float) -> None:
        """A caller has come who has time until ``deadline`` (time.monotonic() seconds)."""
        with self.changed:
            self.deadline = max(self.deadline, deadline)

    def fail(self, error: StageError) -> None:
        """End the job; the first error stays, and the scheduler drops its tiles at its next turn."""
        with self.changed:
            self._error = self._error or error
            self.changed.notify_all()

    @property
    def over(self) -> bool:
        """True when the job has failed, was cancelled or ran out of time."""
        return self._error is not None

    def check(self) -> None:
        """Raise what ended the job, or ``DeadlineExceededError``."""
        if self._error is None and time.monotonic() > self.deadline:
            self.fail(DeadlineExceededError("The caller's deadline passed before the device was done."))
        if self._error is not None:
            raise self._error

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until ``done``. Raises ``StageError``."""
        with self.changed:
            while not done():
                self.check()
                self.changed.wait(max(0.0, min(self.deadline - time.monotonic(), _LOOK_S)))
            if self._error is not None:
                raise self._error
