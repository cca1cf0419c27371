"""How the management API shows an instance."""

from __future__ import annotations

import json
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb

from devhost.backend import STATUS_NAMES


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


def _parsed(state: pb.OrchestrationState, name: str) -> Any:
    if not state.HasField(name):
        return None
    text = getattr(state, name).value
    try:
        return json.loads(text)
    except ValueError:
        return text


def _iso(stamp: Any) -> str:
    return f"{stamp.ToDatetime().isoformat(timespec='microseconds')}Z"
