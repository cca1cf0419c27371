"""Which points are worth a run."""

from __future__ import annotations

from dataclasses import replace

from drills.faults.cancelled import cancellations
from drills.faults.points import Point, Way, worth_a_run
from drills.faults.scenarios import HAPPY


def way(*names: str) -> Way:
    return tuple(Point("before_activity", name, 1) for name in names)


def test_what_two_scenarios_have_in_common_is_broken_once() -> None:
    seen: set[Way] = set()
    assert worth_a_run(way("a", "b", "c"), seen) == list(way("a", "b", "c"))
    assert worth_a_run(way("a", "b", "d", "c"), seen) == list(way("d", "c"))
    assert worth_a_run(way("a", "b"), seen) == []


def test_a_point_that_is_passed_again_is_broken_once() -> None:
    assert worth_a_run(way("a", "b", "a"), set()) == list(way("a", "b"))


def test_a_scenario_may_be_broken_in_a_part_of_its_way_alone() -> None:
    whole = way("guardrail", "place", "finish_job")
    assert replace(HAPPY, until="place").part(whole) == whole[:2]
    assert replace(HAPPY, only="fin").part(whole) == whole[2:]
    assert HAPPY.part(whole) == whole


def test_a_cancel_comes_before_in_and_after_every_stage() -> None:
    happy = tuple(
        Point(kind, name, 1)
        for activity in ("guardrail", "remove_background", "upscale", "place")
        for kind, name in (
            ("before_activity", activity),
            ("before_file", f"{activity}.png"),
            ("after_commit", f"{activity}+spend_entry"),
            ("after_activity", activity),
        )
    )
    held = [scenario.hold for scenario in cancellations(happy)]
    assert len(held) == 10
    assert held[:3] == [happy[0], happy[1], happy[4]]
    assert held[-1] == happy[-1]
