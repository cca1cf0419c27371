"""Durable entities: the backend's batches as the SDK's entity context, and back."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import durabletask.internal.orchestrator_service_pb2 as pb
from google.protobuf.wrappers_pb2 import StringValue

from devhost.app import Function
from devhost.invocation import FunctionExitError, exit_text
from devhost.replay import ScheduledAction


def message(each: ScheduledAction, number: int, parent_id: str, request_id: str) -> pb.OrchestratorAction:
    """The action ``number`` that sends an operation to an entity, with or without an response."""
    # as in the cloud an operation's input is a JSON value: the SDK's text becomes a JSON string
    given = StringValue(value=json.dumps(each.input)) if each.input is not None else None
    common = {
        "requestId": request_id,
        "operation": each.operation,
        "input": given,
        "targetInstanceId": StringValue(value=each.instance_id or ""),
    }
    if each.kind == "signal":
        signaled = pb.EntityOperationSignaledEvent(**common)
        sent = pb.SendEntityMessageAction(entityOperationSignaled=signaled)
    else:
        parent = StringValue(value=parent_id)
        called = pb.EntityOperationCalledEvent(**common, parentInstanceId=parent)
        sent = pb.SendEntityMessageAction(entityOperationCalled=called)
    return pb.OrchestratorAction(id=number, sendEntityMessage=sent)


def run(functions: dict[str, Function], request: pb.EntityRequest) -> pb.EntityBatchResult:
    """Run a batch of operations on one entity."""
    _, name, key = request.instanceId.split("@", 2)
    function = next((each for known, each in functions.items() if known.lower() == name.lower()), None)
    operations = [_operation(event) for event in request.operationRequests]
    result = pb.EntityBatchResult()
    if request.HasField("entityState"):
        result.entityState.CopyFrom(request.entityState)
    try:
        if function is None:
            raise LookupError(f"there is no entity '{name}'")
        state = request.entityState.value if request.HasField("entityState") else None
        response = json.loads(function.handler(func.EntityContext(_context(name, key, state, operations))))
    except SystemExit as error:
        _fail_all(result, operations, FunctionExitError(exit_text(error)))
        return result
    except Exception as error:
        _fail_all(result, operations, error)
        return result
    _fill(result, response, operations)
    return result


def _operation(event: pb.HistoryEvent) -> dict[str, Any]:
    called = event.HasField("entityOperationCalled")
    body = event.entityOperationCalled if called else event.entityOperationSignaled
    parent = body.parentInstanceId.value if called and body.HasField("parentInstanceId") else ""
    return {
        "name": body.operation,
        "input": body.input.value if body.HasField("input") else None,
        "request_id": body.requestId,
        "parent": parent,
        "signal": not called,
    }


def _context(name: str, key: str, state: str | None, operations: list[dict[str, Any]]) -> str:
    batch = [
        {"name": each["name"], "input": each["input"], "isSignal": each["signal"]} for each in operations
    ]
    return json.dumps(
        {"self": {"name": name, "key": key}, "exists": state is not None, "state": state, "batch": batch}
    )


def _fill(result: pb.EntityBatchResult, response: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    state = response.get("entityState")
    # like the extension: an entity without a state, or that deleted itself, is kept as null
    exists = response.get("entityExists") and state is not None
    result.entityState.value = (state if isinstance(state, str) else json.dumps(state)) if exists else "null"
    for each, operation in zip(response.get("results", []), operations, strict=False):
        value = each.get("result")
        text = value if isinstance(value, str) else json.dumps(value)
        if each.get("isError"):
            # the SDK's JSON text; it becomes one again on its way to the orchestrator
            details = pb.TaskFailureDetails(errorType="EntityOperationFailed", errorMessage=_unquoted(text))
            result.results.append(
                pb.OperationResult(failure=pb.OperationResultFailure(failureDetails=details))
            )
        else:
            done = pb.OperationResultSuccess(result=StringValue(value=text))
            result.results.append(pb.OperationResult(success=done))
        _destination(result, operation)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _fail_all(result: pb.EntityBatchResult, operations: list[dict[str, Any]], error: Exception) -> None:
    for operation in operations:
        details = pb.TaskFailureDetails(errorType=type(error).__name__, errorMessage=str(error))
        result.results.append(pb.OperationResult(failure=pb.OperationResultFailure(failureDetails=details)))
        _destination(result, operation)


def _destination(result: pb.EntityBatchResult, operation: dict[str, Any]) -> None:
    info = pb.OperationInfo(requestId=operation["request_id"])
    if operation["parent"]:
        info.responseDestination.instanceId = operation["parent"]
    result.operationInfos.append(info)
