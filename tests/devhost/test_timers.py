"""Timer triggers and their schedules."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from devhost.settings import SettingsError
from devhost.timer_trigger import Schedule
from tests.devhost.process import HostProcess

# a Thursday
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_timer_ticks_by_the_schedule_in_the_settings(host: HostProcess) -> None:
    ticks = host.wait_noted("tick", 3)
    assert ticks[-1]["past_due"] is False
    waits = [after["at"] - before["at"] for before, after in itertools.pairwise(ticks[:3])]
    assert all(0.5 < wait < 1.6 for wait in waits), waits


def test_a_timer_never_runs_twice_at_once_and_can_begin_with_the_host(host: HostProcess) -> None:
    host.wait_noted("slow tick ends", 2)
    begins = [(line["at"], 1) for line in host.noted("slow tick begins")]
    ends = [(line["at"], -1) for line in host.noted("slow tick ends")]
    assert max(itertools.accumulate(step for _, step in sorted(begins + ends))) == 1
    started = host.noted("tick")[0]["at"]
    assert begins[0][0] - started < 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("*/15 * * * * *", 15), ("0 */5 * * * *", 300), ("00:00:20", 20), ("1.00:00:00", 86400)],
)
def test_schedules(text: str, seconds: int) -> None:
    assert Schedule(text).after(START) == START + timedelta(seconds=seconds)


def test_day_of_month_and_day_of_week_must_both_fit() -> None:
    friday_13th = datetime(2026, 2, 13, tzinfo=UTC)
    assert Schedule("0 0 0 13 * 5").after(START) == friday_13th


@pytest.mark.parametrize("text", ["", "* * * * *", "61 * * * * *", "00:00:00", "never", "0 0 0 30 2 *"])
def test_a_schedule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Schedule(text)
