"""Seats for requests that are held until something happens.

The Functions host works on a bounded number of requests at once (``maxConcurrentRequests`` in host.json). If
one user's long polls and event streams took them all, nobody else would be served; so only some requests
wait, and the others get what there is at once, with the hint to come again a little later.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

# of the 50 requests that host.json lets an instance work on
SEATS, SEATS_OF_A_USER = 24, 8
# seconds after which a request without a seat is to come again, so that not all come at once
COME_AGAIN_S = (3, 12)


def come_again_s() -> int:
    """When a request that was not held is to come again."""
    return random.randint(*COME_AGAIN_S)  # noqa: S311  # a choice, not a secret


class WaitingRoom:
    """Who waits now in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def seat(self, user_id: str) -> Iterator[bool]:
        """A seat for the time of the block. False where there is none: the request must not wait."""
        with self._lock:
            is_free = self._taken.total() < SEATS and self._taken[user_id] < SEATS_OF_A_USER
            if is_free:
                self._taken[user_id] += 1
        try:
            yield is_free
        finally:
            if is_free:
                with self._lock:
                    self._taken[user_id] -= 1
                    # a counter of nothing is not kept
                    self._taken += Counter()


waiting_room = WaitingRoom()
