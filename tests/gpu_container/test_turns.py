"""Turns at the device: nobody starves, and waits fit the work."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from gpu_container.turns import Turns, ends

_TILE_S = 0.25


@dataclass(eq=False)
class Job:
    """A job of ``work`` seconds that comes at ``comes``."""

    comes: float
    work: float
    left: float = 0.0
    ended: float = 0.0

    @property
    def stretch(self) -> float:
        """How much longer it took than alone."""
        return (self.ended - self.comes) / self.work


def simulated(jobs: list[Job]) -> None:
    """A device that does one tile of a quarter second after the other."""
    turns, now = Turns(), 0.0
    coming = sorted(jobs, key=lambda job: job.comes)
    here: list[Job] = []
    for job in jobs:
        job.left = job.work
    while coming or here:
        while coming and coming[0].comes <= now:
            here.append(coming.pop(0))
        if not here:
            now = coming[0].comes
            continue
        job = turns.next(here, [each.left for each in here])
        work = min(_TILE_S, job.left)
        turns.given(job, here, work)
        now += work
        job.left -= work
        if job.left <= 0:
            job.ended = now
            here.remove(job)


def test_a_small_job_behind_eight_large_ones_takes_twice_as_long_as_alone() -> None:
    large = [Job(0.0, 138.0) for _ in range(8)]
    small = Job(10.0, 4.0)
    simulated([*large, small])
    assert small.stretch <= 2.2
    assert [round(job.ended - 138 * (n + 1)) for n, job in enumerate(large)] == [4] * 8, "one after another"


@pytest.mark.parametrize("load", [0.5, 0.9, 1.5])
def test_a_large_job_among_many_small_ones_keeps_half_of_the_device(load: float) -> None:
    small = [Job(number / load, 1.0) for number in range(400)]
    large = Job(0.1, 60.0)
    simulated([*small, large])
    assert large.stretch <= 2.1


def test_small_jobs_are_not_held_up_by_one_large() -> None:
    small = [Job(number / 0.4, 1.0) for number in range(100)]
    simulated([Job(0.0, 200.0), *small])
    assert max(job.stretch for job in small) <= 2.6


def test_the_expected_ends_are_what_comes() -> None:
    chance = random.Random(2)
    for _ in range(20):
        jobs = [Job(0.0, 2.0 * 1.5**size) for size in chance.sample(range(10), 10)]
        expected = ends([job.work for job in jobs])
        simulated(jobs)
        for job, end in zip(jobs, expected, strict=True):
            assert job.ended == pytest.approx(end, abs=4 * _TILE_S)


def test_nobody_waits_for_nothing() -> None:
    assert ends([]) == []
    assert ends([3.0]) == [3.0]
    assert ends([10.0, 1.0]) == [11.0, 2.0]
    assert ends([0.0, 0.0, 5.0]) == [0.0, 0.0, 5.0]
