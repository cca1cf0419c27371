"""What the extension recorded, turn by turn, in the words of the local host's walker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from devhost.history import Event, EventKind
from devhost.replay import ScheduledAction

_CREATED = {
    EventKind.TASK_SCHEDULED: "activity",
    EventKind.SUB_CREATED: "sub",
    EventKind.TIMER_CREATED: "timer",
}


@dataclass(frozen=True)
class Episode:
    """One turn of an orchestrator, as the extension recorded it."""

    # what the orchestrator had to go by, and what it asked for
    seen: list[Event]
    asked: list[ScheduledAction]
    result: str | None


def episodes(history: list[Event]) -> Iterator[Episode]:
    """The turns in which the extension let the orchestrator run: not while suspended or terminated."""
    start, runs = 0, True
    for end, event in enumerate(history, 1):
        if event["EventType"] in {EventKind.SUSPENDED, EventKind.RESUMED}:
            runs = event["EventType"] == EventKind.RESUMED
        elif event["EventType"] == EventKind.EXECUTION_TERMINATED:
            return
        if event["EventType"] != EventKind.ORCHESTRATOR_COMPLETED:
            continue
        turn = history[start:end]
        told = [each for each in turn if each["EventType"] in {*_CREATED, EventKind.EXECUTION_COMPLETED}]
        if runs:
            seen = history[: start + next((turn.index(each) for each in told), len(turn))]
            asked = [_asked(each) for each in told if each["EventType"] in _CREATED]
            yield Episode(seen, asked, next((each["Result"] for each in told if "Result" in each), None))
        start = end


def _asked(event: Event) -> ScheduledAction:
    return ScheduledAction(
        event["EventId"],
        _CREATED[event["EventType"]],
        name=event.get("Name", ""),
        input=event.get("Input"),
        instance_id=event.get("InstanceId"),
        fire_at=datetime.fromisoformat(event["FireAt"]) if "FireAt" in event else None,
    )


def without_inputs(asked: list[ScheduledAction]) -> list[ScheduledAction]:
    """As the extension's history has it."""
    return [replace(each, input=None) for each in asked]
