"""How often a user may ask for what costs this process work and no job counts."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque

from api.errors import ApiError

_WINDOW_S = 60.0


class Pace:
    """At most ``limit`` a minute of each user, in this process."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._lock = threading.Lock()
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)

    def check(self, user_id: str) -> None:
        """Count one more. Raises ``ApiError`` 429 if it is one too many."""
        now = time.monotonic()
        with self._lock:
            # users who have stopped are forgotten
            for other in [name for name, times in self._asked.items() if times[-1] <= now - _WINDOW_S]:
                del self._asked[other]
            times = self._asked[user_id]
            while times and times[0] <= now - _WINDOW_S:
                times.popleft()
            if len(times) < self._limit:
                times.append(now)
                return
            wait_s = math.ceil(times[0] + _WINDOW_S - now)
        detail = (
            f"You have asked for {self._limit} {self._what} in a minute, as many as you may. Wait a moment."
        )
        raise ApiError(429, "too_many_requests", detail, headers={"Retry-After": str(wait_s)})


validations = Pace("examinations", 120)
verifications = Pace("verifications", 120)
# a page of the dashboard shows fifty; a browser keeps them for an hour
thumbnails = Pace("thumbnails", 1200)
