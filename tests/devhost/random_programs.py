"""Random orchestrators, and a world in which what they start comes to an end.

``python -m tests.devhost.random_programs 1000`` runs that many against ``extension_model`` and prints how
many agree with the local host's walker.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import azure.durable_functions as df

from devhost.app import Function
from devhost.episodes import run_orchestrator
from devhost.history import Event, EventKind
from devhost.replay import ActionError, NonDeterminismError, Replay
from tests.devhost.extension_model import Execution, Started

EXECUTION = "instance:0"
_START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_TURNS = 40
_EVENTS = ("go", "stop")
_ENTITY = df.EntityId("counter", "key")
_CREATED = {
    "activity": EventKind.TASK_SCHEDULED,
    "sub": EventKind.SUB_CREATED,
    "timer": EventKind.TIMER_CREATED,
}
_FAILS = 0.4
Context: TypeAlias = df.DurableOrchestrationContext


class Policy(df.RetryOptions):
    """A retry policy with all that the extension reads of one."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance.choice([500, 1000, 3000]), chance.randint(1, 3))
        self._more: dict[str, Any] = {"backoffCoefficient": chance.choice([1, 2])}
        if chance.random() < 0.3:
            self._more["maxRetryIntervalInMilliseconds"] = 2000
        if chance.random() < 0.1:
            self._more["retryTimeoutInMilliseconds"] = 2500

    def to_json(self) -> dict[str, Any]:
        """As the SDK sends it."""
        return super().to_json() | self._more


class Program:
    """An orchestrator made of ``seed``: the same at each replay."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, context: Context) -> Generator[Any, Any, Any]:
        """Start, wait, cancel and go on, as the seed has it."""
        chance = random.Random(self._seed)
        tasks: list[Any] = []
        for _ in range(chance.randint(1, 6)):
            self._aside(context, chance, tasks)
            task = self._task(context, chance, tasks, depth=2)
            caught = chance.random() < 0.8
            try:
                yield task
            except Exception:
                if not caught:
                    raise
            if chance.random() < 0.5:
                for each in tasks:
                    if isinstance(each, df.models.Task.TimerTask) and not each.is_completed:
                        each.cancel()
        if chance.random() < 0.2:
            context.continue_as_new("again")
        return "done"

    def _aside(self, context: Context, chance: random.Random, tasks: list[Any]) -> None:
        """What takes effect without a wait."""
        if chance.random() < 0.15:
            context.signal_entity(_ENTITY, "add", 1)
        if chance.random() < 0.1:
            # begun, and perhaps never waited for
            tasks.append(self._leaf(context, chance))

    def _task(self, context: Context, chance: random.Random, tasks: list[Any], depth: int) -> Any:
        if depth and chance.random() < 0.55:
            children = [self._task(context, chance, tasks, depth - 1) for _ in range(chance.randint(1, 3))]
            again = [each for each in tasks if each.parent is None and not each.is_completed]
            if chance.random() < 0.3:
                children += [each for each in again[:1] if each not in children]
            return (context.task_any if chance.random() < 0.6 else context.task_all)(children)
        task = self._leaf(context, chance)
        tasks.append(task)
        return task

    def _leaf(self, context: Context, chance: random.Random) -> Any:
        name = chance.choice("abc")
        match chance.randint(0, 10):
            case 0 | 1:
                return context.call_activity(name, 1)
            case 2 | 3 | 4:
                return context.call_activity_with_retry(name, Policy(chance), 1)
            case 5:
                return context.call_sub_orchestrator(name, 1)
            case 6:
                return context.call_sub_orchestrator_with_retry(name, Policy(chance), 1)
            case 7 | 8:
                due = context.current_utc_datetime + timedelta(seconds=chance.randint(1, 9))
                timer = context.create_timer(due)
                if chance.random() < 0.1:
                    timer.cancel()
                return timer
            case 9:
                return context.wait_for_external_event(chance.choice(_EVENTS))
            case _:
                return context.call_entity(_ENTITY, "get")


@dataclass
class World:
    """One run of a program: its history, turn by turn, as the model schedules."""

    seed: int
    differences: list[str] = field(default_factory=list)
    compared: int = 0
    end: str = "open"
    _history: list[Event] = field(default_factory=list)

    def run(self) -> None:
        """Run the program to its end, or for ``_MOST_TURNS``; compare at each turn and each prefix."""
        self._chance = random.Random(-self.seed)
        self._now = _START
        self._open: list[tuple[int, str]] = []
        handler = df.Orchestrator.create(Program(self.seed))
        program = Function("o", handler, "orchestrationTrigger", "context", {}, (), takes_context=False)
        self._turn()
        self._add(EventKind.EXECUTION_STARTED, Name="o", Input="null", Version="")
        seen = 2
        for _ in range(_MOST_TURNS):
            state, error = run_orchestrator(program, "instance", self._history)
            actions = state["actions"][0] if state["actions"] else []
            self._compare_prefixes(seen, actions)
            seen = len(self._history)
            model = self._compare(self._history, actions)
            if not model.is_deterministic:
                self.end = "non-deterministic"
            elif model.is_over and (state["isDone"] or error):
                self.end = (
                    "continued" if model.context.continued and not error else "failed" if error else "done"
                )
            if self.end != "open":
                break
            for number, started in sorted(model.scheduled.items()):
                self._create(number, started)
            self._add(EventKind.ORCHESTRATOR_COMPLETED)
            self._turn()
            for _ in range(self._chance.randint(1, 2)):
                self._happen()
        self._compare_prefixes(2, actions)

    def _compare_prefixes(self, shortest: int, actions: list[dict[str, Any]]) -> None:
        for length in range(shortest, len(self._history)):
            self._compare(self._history[:length], actions)

    def _compare(self, history: list[Event], actions: list[dict[str, Any]]) -> Execution:
        model = Execution(EXECUTION, history, actions)
        theirs: Any = "non-deterministic"
        if model.is_deterministic:
            theirs = (sorted(model.scheduled.items()), model.is_over, model.context.continued)
        ours = walked(history, actions)
        self.compared += 1
        if ours != theirs:
            self.differences.append(f"{len(history)} events: ours {ours}, theirs {theirs}")
        return model

    def _turn(self) -> None:
        self._now += timedelta(seconds=self._chance.choice([0.5, 1, 2]))
        self._add(EventKind.ORCHESTRATOR_STARTED)

    def _add(self, kind: EventKind, number: int = -1, **values: Any) -> None:
        stamp = self._now.isoformat()
        self._history.append(
            {"EventType": kind, "EventId": number, "IsPlayed": False, "Timestamp": stamp, **values}
        )

    def _create(self, number: int, started: Started) -> None:
        kind, name, fire_at = started
        if kind == "event":
            request = f'{{"id": "{EXECUTION}:{number}"}}'
            self._add(EventKind.EVENT_SENT, number, Name="op", InstanceId="@counter@key", Input=request)
        elif kind == "timer":
            self._add(EventKind.TIMER_CREATED, number, FireAt=(fire_at or self._now).isoformat())
        else:
            self._add(_CREATED[kind], number, Name=name, Version="", Input=None, InstanceId="child")
        self._open.append((number, kind))

    def _happen(self) -> None:
        """Something that was started ends, or an event comes in."""
        if not self._open or self._chance.random() < 0.15:
            self._add(EventKind.EVENT_RAISED, Name=self._chance.choice(_EVENTS), Input='"data"')
            return
        number, kind = self._open.pop(self._chance.randrange(len(self._open)))
        failed = self._chance.random() < _FAILS
        if kind == "timer":
            self._add(EventKind.TIMER_FIRED, TimerId=number, FireAt=self._now.isoformat())
        elif kind == "event":
            # that a signal has no response costs nothing here: nobody waits for it
            self._add(EventKind.EVENT_RAISED, Name=f"{EXECUTION}:{number}", Input='{"result": "1"}')
        elif failed:
            ends = EventKind.TASK_FAILED if kind == "activity" else EventKind.SUB_FAILED
            self._add(ends, TaskScheduledId=number, Reason="broken", Details="")
        else:
            ends = EventKind.TASK_COMPLETED if kind == "activity" else EventKind.SUB_COMPLETED
            self._add(ends, TaskScheduledId=number, Result="1")


def walked(history: list[Event], actions: list[dict[str, Any]]) -> Any:
    """What the local host's walker makes of it, in the form of the model."""
    try:
        replay = Replay(EXECUTION, history, actions)
    except NonDeterminismError:
        return "non-deterministic"
    except ActionError as error:
        return str(error)
    kinds = {"call": "event", "signal": "event"}
    new = [(each.id, (kinds.get(each.kind, each.kind), each.name, each.fire_at)) for each in replay.new]
    return sorted(new), replay.finished, replay.continued is not None


def main(arguments: list[str]) -> int:
    """Returns 0 when all agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.devhost.random_programs", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--first", type=int, default=1, help="seed of the first (%(default)s)")
    chosen = parser.parse_args(arguments)
    disagree, compared = [], 0
    ends: Counter[str] = Counter()
    for seed in range(chosen.first, chosen.first + chosen.count):
        world = World(seed)
        world.run()
        compared += world.compared
        ends[world.end] += 1
        if world.differences:
            disagree.append(seed)
            sys.stderr.write(f"program {seed}: {world.differences[0]}\n")
    sys.stdout.write(
        f"{chosen.count - len(disagree)} of {chosen.count} agree; {compared} prefixes; {dict(ends)}\n"
    )
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
