"""Whose turn it is at the device: half of it goes to the job that came first, half to the one soonest done.

So a job with little work ends in at most twice the time that it would take alone, whoever came before it;
the first one always has half of the device at least, whoever comes after it; and jobs of the same size end
one after the other, not all at the end. Where the first one is soonest done, it has the whole device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Job = TypeVar("Job")


@dataclass
class Turns:
    """Shares the device between the two. ``_ahead``: what the first one was given beyond the other."""

    _ahead: float = 0.0
    _shared: bool = False

    def next(self, jobs: Sequence[Job], left: Sequence[float]) -> Job:
        """The job whose turn it is. ``jobs`` in the order in which they came, and the work left of each."""
        soonest = jobs[left.index(min(left))]
        self._shared = soonest is not jobs[0]
        if not self._shared:
            self._ahead = 0.0
            return soonest
        return jobs[0] if self._ahead <= 0 else soonest

    def given(self, job: Job, jobs: Sequence[Job], work: float) -> None:
        """``job``, one of ``jobs``, got a turn in which it does ``work``."""
        if self._shared:
            self._ahead += work if job is jobs[0] else -work


def ends(left: Sequence[float]) -> list[float]:
    """Time until each job ends if nobody else comes. ``left``: the work of each, as they came.

    Of jobs of nearly the same size the first one ends earlier: after its turn it is the soonest done.
    """
    waiting = dict(enumerate(left))
    ended, now = [0.0] * len(left), 0.0
    while waiting:
        first = next(iter(waiting))
        soonest = min(waiting, key=waiting.__getitem__)
        work = waiting.pop(soonest)
        now += work if soonest == first else 2 * work
        ended[soonest] = now
        if soonest != first:
            waiting[first] -= work
    return ended
