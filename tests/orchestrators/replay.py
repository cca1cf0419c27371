"""Runs an orchestrator through the real SDK, episode by episode, over a history that a script writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devhost import app as functions
from devhost.durable import run_orchestrator
from devhost.history import Event, EventKind
from devhost.replay import Replay, ScheduledAction

ROOT = Path(__file__).parent.parent.parent
START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_EPISODES = 200
Script = Callable[[str, dict[str, Any]], Any]
_APP: list[functions.App] = []


class FailedError(Exception):
    """What a script raises to let an activity fail."""


def load_app() -> functions.App:
    """The app's functions, indexed once: the SDK allows it only once a process."""
    if not _APP:
        from tests.test_function_app import FUNCTIONS

        built = [functions._function(each) for each in FUNCTIONS.values()]
        table: dict[str, dict[str, functions.Function]] = {}
        for each in built:
            table.setdefault(each.trigger_type, {})[each.name] = each
        _APP.append(functions.App(table))
    return _APP[0]


class Run:
    """One orchestration from its start to its end."""

    def __init__(self, name: str, given: dict[str, Any], script: Script) -> None:
        self._function = load_app().of("orchestrationTrigger")[name]
        self._script = script
        self.now = START
        self.history: list[Event] = []
        self.scheduled: list[ScheduledAction] = []
        self.episodes: list[tuple[int, dict[str, Any], list[ScheduledAction]]] = []
        self._turn()
        self._add(EventKind.EXECUTION_STARTED, Name=name, Input=json.dumps(json.dumps(given)), Version="")
        for _ in range(_MOST_EPISODES):
            state, replay = self.episode(len(self.history))
            self.episodes.append((len(self.history), state, replay.new))
            if state["isDone"] and replay.finished:
                self.output: Any = state.get("output")
                return
            for each in replay.new:
                self._schedule(each)
            self._complete()
        raise AssertionError("the orchestration did not end")

    def episode(self, length: int) -> tuple[dict[str, Any], Replay]:
        """What the SDK answers to the first ``length`` events."""
        history = self.history[:length]
        state, error = run_orchestrator(self._function, "instance", history)
        assert error is None, error
        return state, Replay("instance", history, state["actions"][0] if state["actions"] else [])

    def calls(self) -> list[str]:
        """Names of the activities in the order of scheduling."""
        return [each.name for each in self.scheduled if each.kind == "activity"]

    def timers(self) -> list[ScheduledAction]:
        """The timers in the order of scheduling."""
        return [each for each in self.scheduled if each.kind == "timer"]

    def _add(self, kind: EventKind, number: int = -1, **values: Any) -> None:
        stamp = self.now.isoformat()
        self.history.append(
            {"EventType": kind, "EventId": number, "IsPlayed": False, "Timestamp": stamp, **values}
        )

    def _turn(self) -> None:
        self.now += timedelta(seconds=1)
        self._add(EventKind.ORCHESTRATOR_STARTED)

    def _schedule(self, each: ScheduledAction) -> None:
        self.scheduled.append(each)
        kinds = {"activity": EventKind.TASK_SCHEDULED, "sub": EventKind.SUB_CREATED}
        if each.kind == "timer":
            self._add(EventKind.TIMER_CREATED, each.id, FireAt=(each.fire_at or self.now).isoformat())
            return
        more = {"InstanceId": each.instance_id} if each.kind == "sub" else {}
        self._add(kinds[each.kind], each.id, Name=each.name, Input=each.input, Version="", **more)

    def _complete(self) -> None:
        """Let what was scheduled last, and is still open, come to its end."""
        self._add(EventKind.ORCHESTRATOR_COMPLETED)
        ended = {event.get("TaskScheduledId", event.get("TimerId")) for event in self.history}
        each = next(each for each in self.scheduled if each.id not in ended)
        if each.kind == "timer":
            self.now = max(self.now, each.fire_at or self.now)
            self._turn()
            self._add(EventKind.TIMER_FIRED, TimerId=each.id, FireAt=self.now.isoformat())
            return
        self._turn()
        completed, failed = (
            (EventKind.SUB_COMPLETED, EventKind.SUB_FAILED)
            if each.kind == "sub"
            else (EventKind.TASK_COMPLETED, EventKind.TASK_FAILED)
        )
        try:
            result = self._script(each.name, json.loads(each.input or "null"))
        except FailedError as error:
            self._add(failed, TaskScheduledId=each.id, Reason=str(error), Details="")
        else:
            self._add(completed, TaskScheduledId=each.id, Result=json.dumps(result))
