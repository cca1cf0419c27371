"""The health of the GPU service, read beside the scrape so that it can't delay it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

WAIT_S, FRESH_S, STALE_S = 0.2, 5.0, 60.0


class GpuReading:
    """The last result of ``ask``, a blocking call; at most one call is under way."""

    def __init__(
        self,
        ask: Callable[[], dict[str, Any]],
        *,
        wait_s: float = WAIT_S,
        fresh_s: float = FRESH_S,
        stale_s: float = STALE_S,
    ) -> None:
        """``wait_s``: longest wait of a reader. ``fresh_s``: age up to which a result is not read again.
        ``stale_s``: age up to which an old result is still returned while no new one comes.
        """
        self._ask = ask
        self._wait_s, self._fresh_s, self._stale_s = wait_s, fresh_s, stale_s
        self._changed = threading.Condition()
        self._is_asking = False
        self._told: dict[str, Any] = {}
        self._told_at = float("-inf")

    def refresh(self) -> None:
        """Ask again in the background, unless a call is under way or the last result is fresh."""
        with self._changed:
            if self._is_asking or self._age_s() < self._fresh_s:
                return
            self._is_asking = True
        threading.Thread(target=self._run, name="gpu-reading", daemon=True).start()

    def told(self) -> dict[str, Any]:
        """The result. Waits ``wait_s`` at most, then returns an earlier one, or an empty dict."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_asking, self._wait_s)
            return self._told if self._age_s() < max(self._fresh_s, self._stale_s) else {}

    def _run(self) -> None:
        told: dict[str, Any] = {}
        try:
            told = self._ask()
        finally:
            with self._changed:
                self._is_asking = False
                self._told, self._told_at = told, time.monotonic()
                self._changed.notify_all()

    def _age_s(self) -> float:
        return time.monotonic() - self._told_at
