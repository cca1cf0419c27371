"""A cancel at each stage: before it begins, in the middle of it, and when it has ended."""

from __future__ import annotations

from drills.faults.points import Point, Way
from drills.faults.scenarios import Scenario
from imagery.contracts import JobState
from imagery.database.tables import SpendEntry
from orchestrators.image_pipeline import STEPS

# what best stands for the middle of a stage: its call is under way, or its file is about to be there
_MIDDLE = ("sent_request", "before_file", "before_commit")


def cancellations(happy: Way) -> list[Scenario]:
    """One scenario for each place of the happy path where a cancel may come in."""
    found = []
    for step in STEPS:
        began = happy.index(Point("before_activity", step.activity, 1))
        ended = happy.index(Point("after_activity", step.activity, 1))
        found.append(_cancel(f"before {step.stage.value}", happy[began]))
        found.append(_cancel(f"in {step.stage.value}", _middle(happy[began:ended])))
    reserved = next(
        point for point in happy if point.point == "after_commit" and SpendEntry.__tablename__ in point.name
    )
    found.append(_cancel("when the money is reserved", reserved))
    found.append(_cancel("when the last stage has ended", happy[ended]))
    return found


def _middle(stage: Way) -> Point:
    return next(point for kind in _MIDDLE for point in stage if point.point == kind)


def _cancel(where: str, point: Point) -> Scenario:
    return Scenario(f"cancelled {where}", JobState.CANCELLED, hold=point)
