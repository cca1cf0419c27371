"""Waits that a storage queue can count, and that no job outlasts."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from devhost.episodes import as_a_queue_counts
from imagery.backoff import patient_s, queue_s
from imagery.retry import MAX_WAITS


@pytest.mark.parametrize(("seconds", "waited"), [(0, 2), (0.2, 2), (1, 2), (1.2, 3), (2, 3), (59.5, 61)])
def test_a_wait_is_whole_seconds_and_at_least_two(seconds: float, waited: int) -> None:
    assert queue_s(seconds) == waited


def test_a_queue_that_cuts_off_the_fraction_never_shortens_a_wait() -> None:
    chance = random.Random(1)
    asked_at = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(2000):
        seconds = chance.uniform(0, 90)
        fire_at = asked_at + timedelta(seconds=queue_s(seconds))
        # the message is sent a little later than the timer was asked for
        sent_at = asked_at + timedelta(seconds=chance.uniform(0, 0.9))
        assert as_a_queue_counts(fire_at, sent_at) - asked_at >= timedelta(seconds=seconds)


@pytest.mark.parametrize("allowed_s", [60, 3600, 86_400, 30 * 86_400])
def test_no_deadline_is_long_enough_for_too_many_waits(allowed_s: float) -> None:
    waited = waits = 0
    while waited < allowed_s:
        waits += 1
        waited += queue_s(patient_s(0.2, waits, allowed_s))
    assert waits < MAX_WAITS


def test_what_is_asked_for_is_kept_and_what_is_asked_again_grows() -> None:
    assert patient_s(300, 1, 3600) == 300
    waits = [patient_s(1, attempt, 3600) for attempt in range(1, 40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)
