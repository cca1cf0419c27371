"""One episode of an orchestrator: the SDK's replay, and what the backend is to do next."""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
import durabletask.internal.orchestrator_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from devhost import entities
from devhost.app import Function
from devhost.backend import HISTORY_LIMIT
from devhost.history import IDS_PER_EXECUTION, Event, EventKind, id_base, to_sdk
from devhost.invocation import exit_text
from devhost.replay import (
    NON_DETERMINISTIC,
    ActionError,
    NonDeterminismError,
    Replay,
    ScheduledAction,
    entity_request_id,
)
from devhost.waits import Action

_log = logging.getLogger(__name__)
_STATE_MARK = "\n\n$OutOfProcData$:"


class Episode:
    """The history of one execution up to now, and where its ids begin."""

    def __init__(self, request: pb.OrchestratorRequest, parent_id: str | None = None) -> None:
        self.instance_id = str(request.instanceId)
        self._parent_id = parent_id
        self.events = [*request.pastEvents, *request.newEvents]
        self._is_rewind = any(event.HasField("executionRewound") for event in request.newEvents)
        self.base = id_base(self.events)
        self.history = to_sdk(self.events)
        self.name = str(_started(self.history)["Name"])

    @property
    def execution_id(self) -> str:
        """A new id each time the instance runs, unlike the instance id."""
        return f"{self.instance_id}:{self.base // IDS_PER_EXECUTION:05x}"

    def run(self, functions: dict[str, Function]) -> pb.OrchestratorResponse:
        """Run the orchestrator as far as its history reaches."""
        if self._is_rewind:
            return self._respond([_rewound(self.events)])
        for event in self.history:
            if event["EventType"] == EventKind.EXECUTION_TERMINATED:
                reason = json.dumps(event["Input"])
                return self._respond([_ended(pb.ORCHESTRATION_STATUS_TERMINATED, reason)])
        function = functions.get(self.name)
        if function is None:
            return self.fail(f"there is no orchestrator '{self.name}'")
        if len(self.events) >= HISTORY_LIMIT:
            return self.fail(f"its history has more than {HISTORY_LIMIT} events")
        state, error = run_orchestrator(function, self.instance_id, self.history, self._parent_id)
        try:
            replay = Replay(self.execution_id, self.history, state["actions"][0] if state["actions"] else [])
        except (ActionError, NonDeterminismError) as problem:
            return self.fail(str(problem))
        return self._response_of(replay, state, error)

    def fail(self, message: str) -> pb.OrchestratorResponse:
        """End the instance as failed, as the extension words it."""
        text = f"Orchestrator function '{self.name}' failed: {message}"
        if message.startswith(NON_DETERMINISTIC):
            text = message
        _log.error("%s (instance %s)", text, self.instance_id)
        return self._respond([_failed(text)])

    def _response_of(
        self, replay: Replay, state: dict[str, Any], error: str | None
    ) -> pb.OrchestratorResponse:
        if any(each.id >= IDS_PER_EXECUTION for each in replay.new):
            return self.fail(f"it scheduled more than {IDS_PER_EXECUTION} tasks")
        for name in replay.timed_out:
            _log.warning(
                "the retry time-out of '%s' in instance %s has passed: the extension gives up,"
                " and the Python SDK waits forever",
                name,
                self.instance_id,
            )
        actions = [self._action(each, replay.now) for each in replay.new]
        # like the extension: an end counts when every action has been awaited and no task is open
        if replay.finished and error is not None:
            actions += self.fail(error).actions
        elif replay.finished and state["isDone"] and replay.continued is not None:
            actions.append(_continued(replay.continued, replay.carried))
        elif replay.finished and state["isDone"]:
            output = json.dumps(state.get("output"))
            actions.append(_ended(pb.ORCHESTRATION_STATUS_COMPLETED, output))
        return self._respond(actions, state.get("customStatus"))

    def _respond(
        self, actions: list[pb.OrchestratorAction], custom_status: Any = None
    ) -> pb.OrchestratorResponse:
        status = StringValue(value=json.dumps(custom_status)) if custom_status is not None else None
        return pb.OrchestratorResponse(instanceId=self.instance_id, actions=actions, customStatus=status)

    def _action(self, each: ScheduledAction, now: datetime) -> pb.OrchestratorAction:
        number = self.base + each.id
        given = StringValue(value=each.input) if each.input is not None else None
        if each.kind == "activity":
            task = pb.ScheduleTaskAction(name=each.name, input=given)
            return pb.OrchestratorAction(id=number, scheduleTask=task)
        if each.kind == "sub":
            # as in the cloud an orchestrator's input is a JSON value: the SDK's text becomes a JSON string
            wrapped = StringValue(value=json.dumps(each.input))
            sub = pb.CreateSubOrchestrationAction(name=each.name, instanceId=each.instance_id, input=wrapped)
            return pb.OrchestratorAction(id=number, createSubOrchestration=sub)
        if each.kind == "timer":
            stamp = Timestamp()
            stamp.FromDatetime(as_a_queue_counts(each.fire_at or now, now).astimezone(UTC))
            return pb.OrchestratorAction(id=number, createTimer=pb.CreateTimerAction(fireAt=stamp))
        request_id = entity_request_id(self.execution_id, each.id)
        return entities.message(each, number, self.instance_id, request_id)


def as_a_queue_counts(fire_at: datetime, now: datetime) -> datetime:
    """When the timer of an episode at ``now`` fires in the cloud: Azure Storage queues count whole seconds.

    The fraction is cut off when the message is sent, and by then a little of the wait is over: a wait of one
    second is none.
    """
    return now + timedelta(seconds=max(0, math.ceil((fire_at - now).total_seconds()) - 1))


def run_orchestrator(
    function: Function, instance_id: str, history: list[Event], parent_id: str | None = None
) -> tuple[dict[str, Any], str | None]:
    """Let the SDK replay the orchestrator over ``history``. Returns its state, and its error if it raised."""
    given = _started(history)["Input"]
    # no timer durations: as with back ends without a limit, a long timer is one timer
    body = {
        "history": history,
        "input": json.loads(given) if given else None,
        "instanceId": instance_id,
        "isReplaying": False,
        "parentInstanceId": parent_id,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }
    try:
        response = function.handler(func.OrchestrationContext(json.dumps(body)))
    except SystemExit as error:
        return {"isDone": False, "actions": []}, exit_text(error)
    except Exception as error:
        message, mark, state = str(error).partition(_STATE_MARK)
        empty: dict[str, Any] = {"isDone": False, "actions": []}
        return (json.loads(state) if mark else empty), message
    parsed: dict[str, Any] = json.loads(response)
    return parsed, None


def _started(history: list[Event]) -> Event:
    return next(event for event in history if event["EventType"] == EventKind.EXECUTION_STARTED)


def _ended(status: pb.OrchestrationStatus, result: str) -> pb.OrchestratorAction:
    done = pb.CompleteOrchestrationAction(orchestrationStatus=status, result=StringValue(value=result))
    return pb.OrchestratorAction(id=-1, completeOrchestration=done)


def _continued(action: Action, carried: list[Event]) -> pb.OrchestratorAction:
    """The next execution gets the events that came in after the request for it."""
    ended = _ended(pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, json.dumps(action.get("input")))
    for event in carried:
        data = StringValue(value=event["Input"]) if event["Input"] is not None else None
        raised = pb.HistoryEvent(eventId=-1, eventRaised=pb.EventRaisedEvent(name=event["Name"], input=data))
        raised.timestamp.FromDatetime(datetime.fromisoformat(event["Timestamp"]).astimezone(UTC))
        ended.completeOrchestration.carryoverEvents.append(raised)
    return ended


def _failed(message: str) -> pb.OrchestratorAction:
    details = pb.TaskFailureDetails(errorType="OrchestratorFailed", errorMessage=message)
    done = pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=details
    )
    return pb.OrchestratorAction(id=-1, completeOrchestration=done)


def _rewound(events: list[pb.HistoryEvent]) -> pb.OrchestratorAction:
    """The history without what failed; the backend rewinds failed children itself."""
    failed = {event.taskFailed.taskScheduledId for event in events if event.HasField("taskFailed")}
    kept = [
        event
        for event in events
        if not event.HasField("taskFailed")
        and not event.HasField("subOrchestrationInstanceFailed")
        and not event.HasField("executionCompleted")
        and not (event.HasField("taskScheduled") and event.eventId in failed)
    ]
    return pb.OrchestratorAction(id=-1, rewindOrchestration=pb.RewindOrchestrationAction(newHistory=kept))
