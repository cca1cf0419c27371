"""The backend's history events as the JSON history of the Durable Functions SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb


class Kind(IntEnum):
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


Event = dict[str, Any]


def to_sdk(events: list[pb.HistoryEvent]) -> list[Event]:
    """One JSON event for each event of the backend that the SDK knows, in order."""
    converted = []
    for event in events:
        convert = _CONVERTERS.get(str(event.WhichOneof("eventType")))
        if convert is not None:
            converted.append(_common(event) | convert(event))
    return converted


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
        "EventType": Kind.EXECUTION_STARTED,
        "Name": body.name,
        "Input": _text(body, "input"),
        "Version": _text(body, "version") or "",
    }


def _scheduled(event: pb.HistoryEvent) -> Event:
    body = event.taskScheduled
    return {"EventType": Kind.TASK_SCHEDULED, "Name": body.name, "Input": _text(body, "input"), "Version": ""}


def _completed(event: pb.HistoryEvent) -> Event:
    body = event.taskCompleted
    return {
        "EventType": Kind.TASK_COMPLETED,
        "TaskScheduledId": body.taskScheduledId,
        "Result": _text(body, "result"),
    }


def _failure(kind: Kind, body: Any) -> Event:
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
        "EventType": Kind.SUB_CREATED,
        "Name": body.name,
        "InstanceId": body.instanceId,
        "Input": _text(body, "input"),
        "Version": "",
    }


def _sub_completed(event: pb.HistoryEvent) -> Event:
    body = event.subOrchestrationInstanceCompleted
    return {
        "EventType": Kind.SUB_COMPLETED,
        "TaskScheduledId": body.taskScheduledId,
        "Result": _text(body, "result"),
    }


def _timer_created(event: pb.HistoryEvent) -> Event:
    return {"EventType": Kind.TIMER_CREATED, "FireAt": time_of(event.timerCreated.fireAt)}


def _timer_fired(event: pb.HistoryEvent) -> Event:
    body = event.timerFired
    return {"EventType": Kind.TIMER_FIRED, "TimerId": body.timerId, "FireAt": time_of(body.fireAt)}


def _raised(event: pb.HistoryEvent) -> Event:
    body = event.eventRaised
    return {"EventType": Kind.EVENT_RAISED, "Name": body.name, "Input": _text(body, "input")}


def _sent(event: pb.HistoryEvent) -> Event:
    body = event.eventSent
    return {
        "EventType": Kind.EVENT_SENT,
        "Name": body.name,
        "InstanceId": body.instanceId,
        "Input": _text(body, "input"),
    }


def _entity_called(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationCalled
    request = json.dumps({"id": body.requestId})
    return {"EventType": Kind.EVENT_SENT, "Name": body.operation, "InstanceId": "", "Input": request}


def _entity_signaled(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationSignaled
    request = json.dumps({"id": body.requestId, "signal": True})
    return {"EventType": Kind.EVENT_SENT, "Name": body.operation, "InstanceId": "", "Input": request}


def _entity_answered(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationCompleted
    answer = json.dumps({"result": _text(body, "output")})
    return {"EventType": Kind.EVENT_RAISED, "Name": body.requestId, "Input": answer}


def _entity_failed(event: pb.HistoryEvent) -> Event:
    body = event.entityOperationFailed
    message = body.failureDetails.errorMessage
    answer = json.dumps({"result": json.dumps(message), "exceptionType": "Exception"})
    return {"EventType": Kind.EVENT_RAISED, "Name": body.requestId, "Input": answer}


_CONVERTERS: dict[str, Callable[[Any], Event]] = {
    "executionStarted": _started,
    "executionTerminated": lambda _: {"EventType": Kind.EXECUTION_TERMINATED},
    "taskScheduled": _scheduled,
    "taskCompleted": _completed,
    "taskFailed": lambda event: _failure(Kind.TASK_FAILED, event.taskFailed),
    "subOrchestrationInstanceCreated": _sub_created,
    "subOrchestrationInstanceCompleted": _sub_completed,
    "subOrchestrationInstanceFailed": lambda event: _failure(
        Kind.SUB_FAILED, event.subOrchestrationInstanceFailed
    ),
    "timerCreated": _timer_created,
    "timerFired": _timer_fired,
    "orchestratorStarted": lambda _: {"EventType": Kind.ORCHESTRATOR_STARTED},
    "orchestratorCompleted": lambda _: {"EventType": Kind.ORCHESTRATOR_COMPLETED},
    "eventRaised": _raised,
    "eventSent": _sent,
    "entityOperationCalled": _entity_called,
    "entityOperationSignaled": _entity_signaled,
    "entityOperationCompleted": _entity_answered,
    "entityOperationFailed": _entity_failed,
    "executionSuspended": lambda _: {"EventType": Kind.SUSPENDED},
    "executionResumed": lambda _: {"EventType": Kind.RESUMED},
}
