"""Whose file is next: nobody's files keep another's waiting, and jobs come first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from imagery.guardrail import turns as module
from imagery.guardrail.turns import NoTurnError, Rank, Turn, Turns

_LIMIT_S = 30.0


class Line:
    """One slot that is taken, and files that wait for it; ``order`` is that in which they were served."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[Turn] = []
        self._threads: list[threading.Thread] = []
        self._first = ExitStack()
        self._first.enter_context(turns.take(Turn("first"), 1, _LIMIT_S))

    def wait(self, turn: Turn, size: int = 1) -> None:
        before = len(self.turns._waiting)
        thread = threading.Thread(target=self._take, args=(turn, size))
        thread.start()
        self._threads.append(thread)
        until = time.monotonic() + _LIMIT_S
        while len(self.turns._waiting) == before and time.monotonic() < until:
            time.sleep(0.001)

    def _take(self, turn: Turn, size: int) -> None:
        with self.turns.take(turn, size, _LIMIT_S):
            self.order.append(turn)

    def serve(self) -> list[Turn]:
        self._first.close()
        for thread in self._threads:
            thread.join(_LIMIT_S)
        return self.order


def test_users_take_turns() -> None:
    line = Line(Turns(slots=1, seats=20))
    for user in ["ann"] * 5 + ["bob", "eve"]:
        line.wait(Turn(user))
    assert [turn.user_id for turn in line.serve()] == ["ann", "bob", "eve", "ann", "ann", "ann", "ann"]


def test_jobs_come_before_validations_and_those_before_thumbnails() -> None:
    line = Line(Turns(slots=1, seats=20))
    for rank in (Rank.THUMBNAIL, Rank.VALIDATION, Rank.JOB):
        line.wait(Turn("ann", rank))
    assert [turn.rank for turn in line.serve()] == [Rank.JOB, Rank.VALIDATION, Rank.THUMBNAIL]


@pytest.mark.parametrize(("rank", "most"), [(Rank.JOB, 10), (Rank.VALIDATION, 5), (Rank.THUMBNAIL, 5)])
def test_a_user_has_a_part_of_the_seats(rank: Rank, most: int) -> None:
    line = Line(Turns(slots=1, seats=20))
    for _ in range(most):
        line.wait(Turn("ann", rank))
    with pytest.raises(NoTurnError), line.turns.take(Turn("ann", rank), 1, _LIMIT_S):
        pass
    line.wait(Turn("bob", rank))
    assert len(line.serve()) == most + 1


def test_seats_and_their_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 100)
    line = Line(Turns(slots=1, seats=3))
    line.wait(Turn("ann"), size=90)
    with pytest.raises(NoTurnError), line.turns.take(Turn("bob"), 11, _LIMIT_S):
        pass
    for user in ("bob", "eve"):
        line.wait(Turn(user), size=5)
    with pytest.raises(NoTurnError), line.turns.take(Turn("joe"), 0, _LIMIT_S):
        pass
    assert len(line.serve()) == 3


def test_who_has_waited_in_vain_leaves_nothing_behind() -> None:
    turns = Turns(slots=1, seats=2)
    line = Line(turns)
    with pytest.raises(NoTurnError), turns.take(Turn("ann"), 1, 0.01):
        pass
    line.serve()
    assert (turns._waiting, +turns._working, turns._served) == ([], {}, {})


def test_many_at_once_never_exceed_the_slots() -> None:
    turns, busy, seen = Turns(slots=2, seats=100), [0], [0]
    lock = threading.Lock()

    def work(user: str) -> None:
        with turns.take(Turn(user), 1, _LIMIT_S):
            with lock:
                busy[0] += 1
                seen[0] = max(seen[0], busy[0])
            time.sleep(0.001)
            with lock:
                busy[0] -= 1

    run: Callable[[str], Any] = work
    threads = [threading.Thread(target=run, args=(f"u{number % 5}",)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LIMIT_S)
    assert seen[0] == 2
    assert (turns._waiting, +turns._working, turns._served) == ([], {}, {})
