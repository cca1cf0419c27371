"""Whose file a worker of the guardrail takes next.

Jobs come before examinations without a job, and those before thumbnails. Among equals it is the turn of the
user who has the fewest files in work, then of the one who was served longest ago: fifty files of one delay
another's by one file. How many wait, and how many of them of one user, is bounded, and so are their bytes,
because each is in memory.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

# of all files that wait
WAITING_BYTES = 512 * 2**20


class Rank(IntEnum):
    """What a file is read for; the smaller number comes first."""

    JOB = 0
    VALIDATION = 1
    THUMBNAIL = 2


# of the seats, the part that one user's files of a kind may take
_SHARE = {Rank.JOB: 2, Rank.VALIDATION: 4, Rank.THUMBNAIL: 4}


@dataclass(frozen=True)
class Turn:
    """On whose behalf a file is read, and what for."""

    user_id: str = ""
    rank: Rank = Rank.JOB


class NoTurnError(Exception):
    """Too many files wait, or none before this one was done in time."""


@dataclass
class _Waiter:
    turn: Turn
    size: int
    number: int
    called: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Hands out ``slots`` in turn; up to ``seats`` wait."""

    def __init__(self, slots: int, seats: int) -> None:
        self._slots = slots
        self._seats = seats
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []
        self._working: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._numbers = itertools.count()

    @contextmanager
    def take(self, turn: Turn, size: int, limit_s: float) -> Iterator[None]:
        """A slot for the time of the block. Raises ``NoTurnError``. ``size``: bytes that wait with it."""
        self._enter(turn, size, limit_s)
        try:
            yield
        finally:
            with self._lock:
                self._working[turn.user_id] -= 1
                self._call_next()
                self._forget(turn.user_id)

    def _enter(self, turn: Turn, size: int, limit_s: float) -> None:
        with self._lock:
            if not self._waiting and self._working.total() < self._slots:
                self._begin(turn.user_id)
                return
            if not self._has_seat(turn, size):
                raise NoTurnError
            waiter = _Waiter(turn, size, next(self._numbers))
            self._waiting.append(waiter)
        if waiter.called.wait(limit_s):
            return
        with self._lock:
            # it may have been called in this very moment
            if not waiter.called.is_set():
                self._waiting.remove(waiter)
                self._forget(turn.user_id)
                raise NoTurnError

    def _has_seat(self, turn: Turn, size: int) -> bool:
        own = sum(each.turn == turn for each in self._waiting)
        used = sum(each.size for each in self._waiting)
        share = max(1, self._seats // _SHARE[turn.rank])
        return len(self._waiting) < self._seats and own < share and used + size <= WAITING_BYTES

    def _call_next(self) -> None:
        while self._waiting and self._working.total() < self._slots:
            waiter = min(self._waiting, key=self._order)
            self._waiting.remove(waiter)
            self._begin(waiter.turn.user_id)
            waiter.called.set()

    def _order(self, waiter: _Waiter) -> tuple[int, int, int, int]:
        user_id = waiter.turn.user_id
        return waiter.turn.rank, self._working[user_id], self._served.get(user_id, -1), waiter.number

    def _begin(self, user_id: str) -> None:
        self._working[user_id] += 1
        self._served[user_id] = next(self._numbers)

    def _forget(self, user_id: str) -> None:
        """Nothing is kept of a user who has no file here."""
        if self._working[user_id] <= 0 and not any(each.turn.user_id == user_id for each in self._waiting):
            self._working.pop(user_id, None)
            self._served.pop(user_id, None)
