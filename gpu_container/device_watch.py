"""Whether the device still works: a probe after each error, and a bound for everything it is asked to do.

CUDA's own errors are sticky: after one, no call of this process succeeds again. A hung device returns from
no call at all. Both are ended by a new process only.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from gpu_container.device_errors import is_out_of_memory
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
LOOK_S = 1.0
# a step may take so many times as long as expected; the first one of a shape is slower, a short one is noisy
PATIENCE = 10.0
LEAST_LIMIT_S = 60.0
UNKNOWN_LIMIT_S = 300.0


def limit_s(expected_s: float) -> float:
    """How long a step may take that is expected to take so long; 0: nobody knows."""
    return max(LEAST_LIMIT_S, PATIENCE * expected_s) if expected_s > 0 else UNKNOWN_LIMIT_S


def probe_of(device: str) -> Callable[[], None]:
    """What computes a little on ``device`` and raises when it can't any more. The processor always can."""
    return _probe_cuda if device == "cuda" else lambda: None


def _probe_cuda() -> None:
    torch.cuda.synchronize()
    if int(torch.ones(1, device="cuda").add_(1).item()) != 2:
        raise RuntimeError("the device computes 1 + 1 wrong")


class DeviceWatch:
    """One device. Safe between threads; ``step`` and ``check`` are for the thread that owns it.

    ``lost``: why it will not work again in this process. None while it works.
    """

    def __init__(self) -> None:
        self.lost: str | None = None
        self.probe: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        # seconds of this process, as the watch counts them: while it was frozen none pass
        self._clock = 0.0
        self._until = math.inf

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once, in any thread, when the device is lost; at once if it is."""
        with self._lock:
            self._listeners.append(listener)
            is_late = self.lost is not None
        if is_late:
            listener()

    @contextmanager
    def step(self, expected_s: float) -> Iterator[None]:
        """The device is asked for something that is expected to take so long; 0: nobody knows."""
        before, self._until = self._until, self._clock + limit_s(expected_s)
        try:
            yield
        finally:
            self._until = before

    def check(self, error: BaseException) -> bool:
        """After ``error``: True when the device does not work any more."""
        if self.lost is None:
            try:
                with self.step(0.0):
                    self.probe()
            except Exception as found:
                if not is_out_of_memory(found):
                    first_line = str(error).partition("\n")[0]
                    self.lose(f"{type(error).__name__}: {first_line}")
        return self.lost is not None

    def lose(self, reason: str) -> None:
        """The device is lost; everybody hears of it once."""
        with self._lock:
            if self.lost is not None:
                return
            self.lost = reason
            listeners = list(self._listeners)
        _log.error("device_lost", reason=reason)
        for listener in listeners:
            listener()

    def passed(self, seconds: float) -> None:
        """So much time has passed: is a step overdue?"""
        self._clock += seconds
        if self._clock > self._until:
            self.lose("it hangs: a batch takes more than ten times as long as expected")

    def start(self) -> None:
        """Watch from now on, until the device is lost or the process ends."""
        threading.Thread(target=self._run, name="device-watch", daemon=True).start()

    def _run(self) -> None:
        last = time.monotonic()
        while self.lost is None:
            time.sleep(LOOK_S)
            now = time.monotonic()
            self.passed(min(now - last, 2 * LOOK_S))
            last = now
