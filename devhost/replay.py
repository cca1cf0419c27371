"""From the SDK's cumulative action list to the actions that are new.

The SDK returns, for each episode, every action since the beginning. The extension runs that list against
the history: it schedules an action, waits until the history shows its end, and goes on to the next.
Ids are handed out in the order of scheduling; a retry takes one for its timer and one for the task that
is scheduled again, in the moment its failure is processed. The same is done here. What the history shows as
created must have been asked for by then, and what is asked for beyond that is new.

``tests/devhost/extension_model.py`` is a second reading of Microsoft's code, to hold this one against.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from devhost import http_activity
from devhost.history import Event, EventKind
from devhost.waits import EPOCH, Action, Group, Leaf, Node, RetriedCall, retry_delay

NON_DETERMINISTIC = "Non-Deterministic workflow detected: "


class ActionError(Exception):
    """The orchestrator requests something that this host does not support."""


class NonDeterminismError(Exception):
    """A replay requests something else than the history holds."""


@dataclass(frozen=True)
class ScheduledAction:
    """One thing to schedule with the backend under ``id``."""

    id: int
    kind: str
    name: str = ""
    input: str | None = None
    instance_id: str | None = None
    fire_at: datetime | None = None
    operation: str = ""


_CALLS = {0: "activity", 2: "sub"}
_RETRIED_CALLS = {1: "activity", 3: "sub"}
_CONTINUE_AS_NEW, _TIMER, _EVENT, _CALL_ENTITY, _CALL_HTTP, _SIGNAL_ENTITY = 4, 5, 6, 7, 8, 9
_ANY, _ALL = 11, 12
_CREATED = {
    EventKind.TASK_SCHEDULED: {"activity"},
    EventKind.SUB_CREATED: {"sub"},
    EventKind.TIMER_CREATED: {"timer"},
    EventKind.EVENT_SENT: {"call", "signal"},
}
_SUCCEEDED = {EventKind.TASK_COMPLETED: "TaskScheduledId", EventKind.SUB_COMPLETED: "TaskScheduledId"}
_FAILED = {EventKind.TASK_FAILED: "TaskScheduledId", EventKind.SUB_FAILED: "TaskScheduledId"}


class Replay:
    """Runs one action list against one history.

    ``execution_id`` names this execution of the instance: unnamed children and entity calls are named
    after it. ``carried`` are events that came in after ``continued``: they are the next execution's.
    Raises ``ActionError`` and ``NonDeterminismError``.
    """

    def __init__(self, execution_id: str, history: list[Event], actions: list[Action]) -> None:
        self._execution_id = execution_id
        self._actions = deque(actions)
        # asked for, and not yet seen as created
        self._asked: dict[int, ScheduledAction] = {}
        self._next_id = 0
        self._now = EPOCH
        self._open: dict[int, Leaf] = {}
        # an event is for the wait that began last, so that a wait nobody is interested in takes none away
        self._events: dict[str, list[Leaf]] = defaultdict(list)
        self._buffered: dict[str, int] = defaultdict(int)
        self._current: Node | None = None
        self.continued: Action | None = None
        self.carried: list[Event] = []
        self.timed_out: set[str] = set()
        for event in history:
            self._process(event)

    @property
    def now(self) -> datetime:
        """The time that the last episode began at."""
        return self._now

    @property
    def new(self) -> list[ScheduledAction]:
        """What is to be scheduled now."""
        return list(self._asked.values())

    @property
    def finished(self) -> bool:
        """True when every action has been awaited, and no task or timer is open that nobody waited for."""
        return not self._actions and (self._current is None or self._current.done) and not self._open

    def _process(self, event: Event) -> None:
        kind = event["EventType"]
        if kind == EventKind.ORCHESTRATOR_STARTED:
            self._now = max(self._now, datetime.fromisoformat(event["Timestamp"]))
            return
        if kind in _CREATED:
            self._confirm(event)
        elif kind in _SUCCEEDED:
            self._succeed(event[_SUCCEEDED[kind]])
        elif kind in _FAILED:
            self._fail(event[_FAILED[kind]])
        elif kind == EventKind.TIMER_FIRED:
            self._fire(event["TimerId"])
        elif kind == EventKind.EVENT_RAISED:
            self._raise(event)
        elif kind != EventKind.EXECUTION_STARTED:
            return
        self._advance()

    def _advance(self) -> None:
        while self._actions and (self._current is None or self._current.done):
            self._current = self._schedule(self._actions.popleft())

    def _schedule(self, action: Action) -> Node:
        kind = action["actionType"]
        if kind in _CALLS:
            return self._wait(self._emit_call(_CALLS[kind], action), Leaf())
        if kind in _RETRIED_CALLS:
            retry = RetriedCall(action=action, first_attempt=self._now)
            return self._wait(self._emit_call(_RETRIED_CALLS[kind], action), retry)
        others: dict[int, Callable[[Action], Node]] = {
            _TIMER: self._timer,
            _EVENT: lambda each: self._await_event(each["externalEventName"]),
            _ANY: self._group,
            _ALL: self._group,
            _CONTINUE_AS_NEW: self._continue_as_new,
            _SIGNAL_ENTITY: self._signal_entity,
            _CALL_ENTITY: self._call_entity,
            _CALL_HTTP: self._call_http,
        }
        if kind not in others:
            raise ActionError(f"this host does not support orchestrator actions of type {kind}")
        return others[kind](action)

    def _timer(self, action: Action) -> Node:
        number = self._emit("timer", fire_at=_moment(action["fireAt"]))
        # a cancelled timer exists, and nobody waits for it
        return Leaf(done=True) if action["isCanceled"] else self._wait(number, Leaf())

    def _group(self, action: Action) -> Node:
        children = [self._schedule(child) for child in action["compoundActions"]]
        return Group(children, needs_all=action["actionType"] == _ALL)

    def _continue_as_new(self, action: Action) -> Node:
        self.continued = action
        return Leaf(done=True)

    def _signal_entity(self, action: Action) -> Node:
        self._emit_entity("signal", action)
        return Leaf(done=True)

    def _call_http(self, action: Action) -> Node:
        request = action["httpRequest"]
        if request.get("tokenSource"):
            raise ActionError("this host has no identity for the token source of call_http")
        number = self._emit("activity", name=http_activity.NAME, input=json.dumps(request))
        return self._wait(number, Leaf())

    def _emit_call(self, kind: str, action: Action) -> int:
        return self._emit(
            kind,
            name=action["functionName"],
            input=action.get("input"),
            instance_id=action.get("instanceId"),
        )

    def _emit_entity(self, kind: str, action: Action) -> int:
        return self._emit(
            kind,
            instance_id=action["instanceId"],
            operation=action["operation"],
            input=action.get("input"),
        )

    def _emit(self, kind: str, **values: Any) -> int:
        number = self._next_id
        self._next_id += 1
        if kind == "sub" and not values.get("instance_id"):
            values["instance_id"] = f"{self._execution_id}:{number}"
        self._asked[number] = ScheduledAction(number, kind, **values)
        return number

    def _confirm(self, created: Event) -> None:
        """What the history shows as created must be what was asked for before."""
        number, was = created["EventId"], EventKind(created["EventType"])
        asked = self._asked.pop(number, None)
        if asked is None:
            problem = (
                f"task {number} is {was.name.lower()} in the history, and is no longer asked for by then"
            )
        elif asked.kind not in _CREATED[was]:
            problem = f"task {number} is {was.name.lower()} in the history, and now a {asked.kind}"
        elif asked.kind in _CALLS.values() and _differ(created.get("Name"), asked.name):
            problem = f"task {number} calls '{created['Name']}' in the history, and now '{asked.name}'"
        else:
            return
        raise NonDeterminismError(NON_DETERMINISTIC + problem)

    def _wait(self, number: int, leaf: Leaf) -> Leaf:
        self._open[number] = leaf
        return leaf

    def _await_event(self, name: str) -> Leaf:
        name = name.lower()
        leaf = Leaf()
        if self._buffered[name]:
            self._buffered[name] -= 1
            leaf.done = True
        else:
            self._events[name].append(leaf)
        return leaf

    def _call_entity(self, action: Action) -> Node:
        """The response comes back as an event named after the request."""
        number = self._emit_entity("call", action)
        return self._await_event(entity_request_id(self._execution_id, number))

    def _raise(self, event: Event) -> None:
        if self.continued is not None:
            self.carried.append(event)
            return
        name = event["Name"].lower()
        if self._events[name]:
            self._events[name].pop().done = True
        else:
            self._buffered[name] += 1

    def _succeed(self, number: int) -> None:
        leaf = self._open.pop(number, None)
        if leaf is not None:
            leaf.done = True

    def _fail(self, number: int) -> None:
        leaf = self._open.pop(number, None)
        if not isinstance(leaf, RetriedCall):
            if leaf is not None:
                leaf.done = True
            return
        options = leaf.action["retryOptions"]
        leaf.exhausted = leaf.attempt >= int(options["maxNumberOfAttempts"])
        # the SDK waits for one more timer after the last attempt; engines of today fire it at once
        delay = timedelta()
        if not leaf.exhausted:
            delay = retry_delay(options, leaf.attempt, self._now - leaf.first_attempt)
            if not delay:
                # the extension gives up without a timer, and the SDK, which counts attempts only, waits on
                self.timed_out.add(str(leaf.action["functionName"]))
                leaf.done = True
                return
        self._wait(self._emit("timer", fire_at=self._now + delay), leaf)

    def _fire(self, number: int) -> None:
        leaf = self._open.pop(number, None)
        if leaf is None:
            return
        if not isinstance(leaf, RetriedCall) or leaf.exhausted:
            leaf.done = True
            return
        leaf.attempt += 1
        self._wait(self._emit_call(_RETRIED_CALLS[leaf.action["actionType"]], leaf.action), leaf)


def entity_request_id(execution_id: str, number: int) -> str:
    """The id of an entity call: the same at every replay."""
    return f"{execution_id}:{number}"


def _differ(name: str | None, other: str) -> bool:
    """Names of functions count without regard to case; an event may have none."""
    return bool(name) and str(name).lower() != other.lower()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
