"""How the management API shows an instance."""

from __future__ import annotations

import json
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb

from devhost.backend import STATUS_NAMES

# fields of the backend's events, and their names in the extension's
_FIELDS: dict[str, dict[str, str]] = {
    "executionStarted": {"name": "FunctionName", "input": "Input"},
    "executionCompleted": {"orchestrationStatus": "OrchestrationStatus", "result": "Result"},
    "executionTerminated": {"input": "Input"},
    "taskScheduled": {"name": "Name", "input": "Input"},
    "taskCompleted": {"result": "Result"},
    "taskFailed": {"failureDetails": "Reason"},
    "subOrchestrationInstanceCreated": {"name": "Name", "instanceId": "InstanceId", "input": "Input"},
    "subOrchestrationInstanceCompleted": {"result": "Result"},
    "subOrchestrationInstanceFailed": {"failureDetails": "Reason"},
    "timerCreated": {"fireAt": "FireAt"},
    "timerFired": {"fireAt": "FireAt"},
    "eventRaised": {"name": "Name", "input": "Input"},
    "executionSuspended": {"input": "Reason"},
    "executionResumed": {"input": "Reason"},
}
_SCHEDULES = {"taskScheduled", "subOrchestrationInstanceCreated"}
_ENDS = {
    "taskCompleted",
    "taskFailed",
    "subOrchestrationInstanceCompleted",
    "subOrchestrationInstanceFailed",
}


def status_of(state: pb.OrchestrationState, *, show_input: bool) -> dict[str, Any]:
    """The status of one instance, as JSON."""
    failed = state.HasField("failureDetails") and state.failureDetails.errorMessage
    output = state.failureDetails.errorMessage if failed else _parsed(state, "output")
    shown = {
        "name": state.name,
        "instanceId": state.instanceId,
        "runtimeStatus": STATUS_NAMES[state.orchestrationStatus],
        "customStatus": _parsed(state, "customStatus"),
        "output": output,
        "createdTime": _iso(state.createdTimestamp),
        "lastUpdatedTime": _iso(state.lastUpdatedTimestamp),
    }
    return shown | {"input": _parsed(state, "input") if show_input else None}


def _parsed(state: Any, name: str) -> Any:
    if not state.HasField(name):
        return None
    text = getattr(state, name).value
    try:
        return json.loads(text)
    except ValueError:
        return text


def history_of(events: list[pb.HistoryEvent], *, show_input: bool, show_output: bool) -> list[dict[str, Any]]:
    """The history as the extension shows it: what was scheduled stands in the event that ended it."""
    shown: dict[int, dict[str, Any]] = {}
    scheduled: dict[int, int] = {}
    turn: Any = None
    for index, event in enumerate(events):
        kind = str(event.WhichOneof("eventType"))
        if kind == "orchestratorStarted":
            turn = event.timestamp
        if kind in _FIELDS:
            shown[index] = _shown(event, kind)
            if turn is not None and not event.timestamp.ToMicroseconds():
                # the backend leaves most events without a time: they are as old as their turn
                shown[index]["Timestamp"] = _exact(turn)
        if kind in _SCHEDULES:
            scheduled[event.eventId] = index
        if kind in _ENDS:
            begun = shown.pop(scheduled.get(getattr(event, kind).taskScheduledId, -1), {})
            shown[index] |= {
                "FunctionName": begun.get("Name"),
                "ScheduledTime": begun.get("Timestamp"),
                "Input": begun.get("Input"),
            }
    hidden = ({"Input"} if not show_input else set()) | ({"Result"} if not show_output else set())
    return [{name: each[name] for name in each if name not in hidden} for each in shown.values()]


def _shown(event: pb.HistoryEvent, kind: str) -> dict[str, Any]:
    body = getattr(event, kind)
    found: dict[str, Any] = {"EventType": kind[0].upper() + kind[1:], "Timestamp": _exact(event.timestamp)}
    for field, name in _FIELDS[kind].items():
        value = getattr(body, field)
        if name == "FireAt":
            found[name] = _exact(value)
        elif name == "OrchestrationStatus":
            found[name] = STATUS_NAMES[value]
        elif name == "Reason" and field == "failureDetails":
            found |= {"Reason": value.errorMessage, "Details": value.stackTrace.value}
        else:
            found[name] = value if isinstance(value, str) else _parsed(body, field)
    return found


def _iso(stamp: Any) -> str:
    """Whole seconds, as the extension has it."""
    return f"{stamp.ToDatetime().isoformat(timespec='seconds')}Z"


def _exact(stamp: Any) -> str:
    return f"{stamp.ToDatetime().isoformat(timespec='microseconds')}Z"
