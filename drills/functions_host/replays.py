"""Today's orchestrators over what the extension recorded, turn by turn, by the SDK and our walker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import azure.durable_functions as df

from devhost.app import Function
from devhost.episodes import run_orchestrator
from devhost.history import Event, EventKind
from devhost.replay import ActionError, NonDeterminismError, Replay, ScheduledAction
from drills.functions_host.histories import Recorded, read
from drills.functions_host.report import Report
from drills.functions_host.world import Site
from orchestrators.batch import batch
from orchestrators.callback import callback
from orchestrators.image_pipeline import image_pipeline

_CREATED = {
    EventKind.TASK_SCHEDULED: "activity",
    EventKind.SUB_CREATED: "sub",
    EventKind.TIMER_CREATED: "timer",
}
# of one instance: the time of a replay grows with the square of its length
_MOST_EPISODES = 50


@dataclass(frozen=True)
class Episode:
    """One turn of an orchestrator, as the extension recorded it."""

    # what the orchestrator had to go by, and what it asked for
    seen: list[Event]
    asked: list[ScheduledAction]
    # of an instance that ended here
    status: str | None
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
            ended = next((each for each in told if each["EventType"] == EventKind.EXECUTION_COMPLETED), {})
            status = ended.get("OrchestrationStatus", "Completed") if ended else None
            yield Episode(seen, asked, status, ended.get("Result"))
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


def check(site: Site, report: Report) -> dict[str, int]:
    """Replay every instance of the site's task hub. Returns sums; each difference is a violation."""
    hub = json.loads((site.app / "host.json").read_text())["extensions"]["durableTask"]["hubName"]
    functions = {each.__name__: _function(each) for each in (image_pipeline, batch, callback)}
    sums = {"replayed": 0, "episodes": 0, "differences": 0}
    for each in read(site.azurite, hub):
        count, found = differences(functions[each.name], each, _MOST_EPISODES)
        sums["replayed"] += 1
        sums["episodes"] += count
        sums["differences"] += len(found)
        for difference in found:
            report.expect(False, f"replay of {difference}")
    report.expect(sums["episodes"] > 0, "the task hub has no history")
    report.tell("histories", **sums)
    return sums


def _function(orchestrator: Callable[..., Any]) -> Function:
    handler = df.Orchestrator.create(orchestrator)
    name = orchestrator.__name__
    return Function(name, handler, "orchestrationTrigger", "context", {}, (), takes_context=False)


def differences(function: Function, recorded: Recorded, most: int) -> tuple[int, list[str]]:
    """Run the orchestrator over the first ``most`` turns of its history, and the last one.

    Returns how many that were, and what today's code asks for there that the extension did not record, or the
    other way round: ids, names, instances, moments and the result.
    """
    turns = list(episodes(recorded.history))
    chosen = turns[:most] + turns[most:][-1:]
    return len(chosen), [
        f"{recorded.instance_id}, {len(turn.seen)} events: {difference}"
        for turn in chosen
        for difference in _differences(function, recorded, turn)
    ]


def _differences(function: Function, recorded: Recorded, turn: Episode) -> Iterator[str]:
    state, error = run_orchestrator(function, recorded.instance_id, turn.seen)
    if error is not None and turn.status != "Failed":
        yield f"raised {error}"
        return
    actions = state["actions"][0] if state["actions"] else []
    try:
        replay = Replay(recorded.execution_id, turn.seen, actions)
    except (ActionError, NonDeterminismError) as problem:
        yield str(problem)
        return
    asked = without_inputs(replay.new)
    if asked != without_inputs(turn.asked):
        yield f"asks for {asked}, recorded is {turn.asked}"
    has_ended = replay.finished and (error is not None or state["isDone"])
    if has_ended != (turn.status is not None):
        yield f"has {'' if has_ended else 'not '}ended, recorded is {turn.status}"
    elif turn.status == "Completed" and not _is_same(turn.result, state["output"]):
        yield f"returned {state['output']}, recorded is {turn.result}"
    elif turn.status == "Failed" and error is None:
        yield "did not fail, as recorded"


def _is_same(recorded: str | None, output: Any) -> bool:
    return bool(json.loads(recorded or "null") == output)
