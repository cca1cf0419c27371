"""The backend's history events as the JSON history of the Durable Functions SDK.

The SDK counts tasks from 0 in each execution. The backend delivers what belongs to an earlier execution
of the same instance id (a cancelled timer when it continued as new, what a terminated instance left behind)
to the one that runs now. So the backend is given ids that differ by execution: ``id_base`` plus the
SDK's number; what comes back outside the execution's range is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb


class EventKind(IntEnum):
    """Numbers of the SDK's ``HistoryEventType``."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_CREATED = 7
    SUB_COMPLETED = 8
    SUB_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15
    SUSPENDED = 19
    RESUMED = 20


_INCOMING = {
    EventKind.TASK_COMPLETED,
    EventKind.TASK_FAILED,
    EventKind.SUB_COMPLETED,
    EventKind.SUB_FAILED,
    EventKind.TIMER_FIRED,
    EventKind.EVENT_RAISED,
}
Event = dict[str, Any]

IDS_PER_EXECUTION = 10_000
# ids are 32 bits wide: this many ranges fit
_RANGES = 200_000
_ID_FIELDS = ("TaskScheduledId", "TimerId")


def id_base(events: list[pb.HistoryEvent]) -> int:
    """The first id of this execution, derived from the microsecond it began in."""
    began_us = int(events[0].timestamp.ToMicroseconds())
    return began_us % _RANGES * IDS_PER_EXECUTION


def to_sdk(events: list[pb.HistoryEvent]) -> list[Event]:
    """One JSON event for each event of this execution that the SDK knows, in the order it sees them."""
    base = id_base(events)
    converted = []
    for event in events:
        convert = _CONVERTERS.get(str(event.WhichOneof("eventType")))
        if convert is not None and _renumber(made := _common(event) | convert(event), base):
            converted.append(made)
    return _held_back(converted)


def _renumber(event: Event, base: int) -> bool:
    """Count from 0 as the SDK does. Returns False for an event of an earlier execution."""
    if event["EventId"] >= 0:
        event["EventId"] -= base
    for name in _ID_FIELDS:
        if name in event:
            event[name] -= base
            return bool(0 <= event[name] < IDS_PER_EXECUTION)
    return True


def _held_back(events: list[Event]) -> list[Event]:
    """A suspended instance sees nothing that comes in until it is resumed."""
    seen: list[Event] = []
    waiting: list[Event] = []
    suspended = False
    for event in events:
        kind = event["EventType"]
        if kind == EventKind.SUSPENDED:
            suspended = True
        elif kind == EventKind.RESUMED:
            suspended = False
            seen += waiting
            waiting.clear()
        elif suspended and kind in _INCOMING:
            waiting.append(event)
        else:
            seen.append(event)
    return seen


def time_of(stamp: Any) -> str:
    """A protobuf timestamp as the ISO text the SDK parses."""
    moment: datetime = stamp.ToDatetime(tzinfo=UTC)
    return moment.isoformat()


def _common(event: pb.HistoryEvent) -> Event:
    return {"EventId": event.eventId, "IsPlayed": False, "Timestamp": time_of(event.timestamp)}


def _text(message: Any, name: str) -> str | None:
    return str(getattr(message, name).value) if message.HasField(name) else None


def _started(event: pb.HistoryEvent) -> Event:
    body = event.executionStarted
    return {
        "EventType": EventKind.EXECUTION_STARTED,
        "Name": body.name,
        "Input": _text(body, "input"),
        "Version": _text(body, "version") or "",
    }


def _terminated(event: pb.HistoryEvent) -> Event:
    return {"EventType": EventKind.EXECUTION_TERMINATED, "Input": _text(event.executionTerminated, "input")}


def _scheduled(event: pb.HistoryEvent) -> Event:
    body = event.taskScheduled
    return {
        "EventType": EventKind.TASK_SCHEDULED,
        "Name": body.name,
        "Input": _text(body, "input"),
        "Version": "",
    }


def _completed(event: pb.HistoryEvent) -> Event:
    body = event.taskCompleted
    return {
        "EventType": EventKind.TASK_COMPLETED,
        "TaskScheduledId": body.taskScheduledId,
        "Result": _text(body, "result"),
    }


def _failure(kind: EventKind, body: Any) -> Event:
    details = body.failureDetails
    return {
        "EventType": kind,
        "TaskScheduledId": body.taskScheduledId,
        "Reason": details.errorMessage,
        "Details": _text(details, "stackTrace") or "",
    }


def _sub_created(event: pb.HistoryEvent) -> Event:
    body = event.subOrchestrationInstanceCreated
    return {
        "EventType": EventKind.SUB_CREATED,
        "Name": body.name,
        "InstanceId": body.instanceId,
        "Input": _text(body, "input"),
        "Version": "",
    }


def _sub_completed(event: pb.HistoryEvent) -> Event:
    body = event.subOrchestrationInstanceCompleted
    return {
        "EventType": EventKind.SUB_COMPLETED,
        "TaskScheduledId": body.taskScheduledId,
        "Result": _text(body, "result"),
    }


def _timer_created(event: pb.HistoryEvent) -> Event:
    return {"EventType": EventKind.TIMER_CREATED, "FireAt": time_of(event.timerCreated.fireAt)}


def _timer_fired(event: pb.HistoryEvent) -> Event:
    body = event.timerFired
    return {"EventType": EventKind.TIMER_FIRED, "TimerId": body.timerId, "FireAt": time_of(body.fireAt)}


def _raised(event: pb.HistoryEvent) -> Event:
    body = event.eventRaised
    return {"EventType": EventKind.EVENT_RAISED, "Name": body.name, "Input": _text(body, "input")}


def _sent(event: pb.HistoryEvent) -> Event:
    body = event.eventSent
    return {
        "EventType": EventKind.EVENT_SENT,
        "Name": body.name,
        "InstanceId": body.instanceId,
        "Input": _text(body, "input"),
    }


def _entity_called(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationCalled
    request = json.dumps({"id": body.requestId})
    return {"EventType": EventKind.EVENT_SENT, "Name": body.operation, "InstanceId": "", "Input": request}


def _entity_signaled(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationSignaled
    request = json.dumps({"id": body.requestId, "signal": True})
    return {"EventType": EventKind.EVENT_SENT, "Name": body.operation, "InstanceId": "", "Input": request}


def _entity_responded(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationCompleted
    response = json.dumps({"result": _text(body, "output")})
    return {"EventType": EventKind.EVENT_RAISED, "Name": body.requestId, "Input": response}


def _entity_failed(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationFailed
    message = body.failureDetails.errorMessage
    response = json.dumps({"result": json.dumps(message), "exceptionType": "Exception"})
    return {"EventType": EventKind.EVENT_RAISED, "Name": body.requestId, "Input": response}


_CONVERTERS: dict[str, Callable[[Any], Event]] = {
    "executionStarted": _started,
    "executionTerminated": _terminated,
    "taskScheduled": _scheduled,
    "taskCompleted": _completed,
    "taskFailed": lambda event: _failure(EventKind.TASK_FAILED, event.taskFailed),
    "subOrchestrationInstanceCreated": _sub_created,
    "subOrchestrationInstanceCompleted": _sub_completed,
    "subOrchestrationInstanceFailed": lambda event: _failure(
        EventKind.SUB_FAILED, event.subOrchestrationInstanceFailed
    ),
    "timerCreated": _timer_created,
    "timerFired": _timer_fired,
    "orchestratorStarted": lambda _: {"EventType": EventKind.ORCHESTRATOR_STARTED},
    "orchestratorCompleted": lambda _: {"EventType": EventKind.ORCHESTRATOR_COMPLETED},
    "eventRaised": _raised,
    "eventSent": _sent,
    "entityOperationCalled": _entity_called,
    "entityOperationSignaled": _entity_signaled,
    "entityOperationCompleted": _entity_responded,
    "entityOperationFailed": _entity_failed,
    "executionSuspended": lambda _: {"EventType": EventKind.SUSPENDED},
    "executionResumed": lambda _: {"EventType": EventKind.RESUMED},
}
