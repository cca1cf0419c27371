"""Drives orchestrators, activities and entities with the work items of the backend."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import durabletask.internal.orchestrator_service_pb2 as pb
from azure.functions import meta
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from local.host import entities
from local.host.app import App, Function
from local.host.backend import Backend
from local.host.faults import FaultInjector
from local.host.history import to_sdk
from local.host.invocation import Invoker
from local.host.replay import Action, Replay, Scheduled, entity_request_id
from local.host.settings import HostSettings

_log = logging.getLogger(__name__)
_STATE_MARK = "\n\n$OutOfProcData$:"
_STOP_S = 3.0
# as the extension tells the SDK: a timer beyond the first is made of several of the second
_LONGEST_TIMER = "6.00:00:00"
_TIMER_PART = "3.00:00:00"
_CONVERTERS: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class DurableWorker:
    """Takes work items from the backend and hands their results in, so many at a time."""

    def __init__(
        self,
        settings: HostSettings,
        app: App,
        backend: Backend,
        invoker: Invoker,
        faults: FaultInjector,
    ) -> None:
        self._app = app
        self._backend = backend
        self._invoker = invoker
        self._faults = faults
        self._activities = ThreadPoolExecutor(settings.max_activities, thread_name_prefix="activity")
        self._orchestrators = ThreadPoolExecutor(settings.max_orchestrators, thread_name_prefix="episode")
        self._thread = threading.Thread(target=self._main, name="durable", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more work; what runs is given up, as when an instance is taken away."""
        self._backend.stop()
        self._thread.join(_STOP_S)
        for pool in (self._activities, self._orchestrators):
            pool.shutdown(wait=False, cancel_futures=True)

    def _main(self) -> None:
        for item in self._backend.work_items():
            if item.HasField("orchestratorRequest"):
                self._orchestrators.submit(self._guarded, self._episode, item)
            elif item.HasField("activityRequest"):
                self._activities.submit(self._guarded, self._activity, item)
            elif item.HasField("entityRequestV2"):
                self._activities.submit(self._guarded, self._entity, item)

    def _guarded(self, work: Any, item: pb.WorkItem) -> None:
        try:
            work(item)
        except Exception:
            _log.exception("a work item broke the host")

    def _episode(self, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        history = to_sdk([*request.pastEvents, *request.newEvents])
        name = next((event["Name"] for event in history if event.get("EventType") == 0), "")
        if self._faults.strike("before_episode", name, len(history)):
            self._backend.abandon_orchestrator(item.completionToken)
            return
        answer = self._run_episode(name, request.instanceId, history)
        if self._faults.strike("after_episode", name, len(history)):
            self._backend.abandon_orchestrator(item.completionToken)
            return
        answer.completionToken = item.completionToken
        self._backend.complete_orchestrator(answer)

    def _run_episode(
        self, name: str, instance_id: str, history: list[dict[str, Any]]
    ) -> pb.OrchestratorResponse:
        terminated = next((event for event in history if event["EventType"] == 3), None)
        if terminated is not None:
            return _response(instance_id, [_completed(pb.ORCHESTRATION_STATUS_TERMINATED, None)])
        function = self._app.of("orchestrationTrigger").get(name)
        if function is None:
            return _response(instance_id, [_failed(f"there is no orchestrator '{name}'")])
        state, error = run_orchestrator(function, instance_id, history)
        try:
            replay = Replay(instance_id, history, state["actions"][0] if state["actions"] else [])
        except Exception as problem:
            _log.exception("orchestrator %s can't be continued", name)
            return _response(instance_id, [_failed(str(problem))])
        actions = [_action(each, instance_id) for each in replay.new]
        if error is not None:
            _log.error("orchestrator %s (%s) failed: %s", name, instance_id, error)
            actions = [_failed(error)]
        elif replay.continued is not None:
            given = _input_of(replay.continued)
            actions.append(_completed(pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, given))
        elif state["isDone"] and replay.finished:
            output = json.dumps(state.get("output"))
            actions.append(_completed(pb.ORCHESTRATION_STATUS_COMPLETED, output))
        return _response(instance_id, actions, state.get("customStatus"))

    def _activity(self, item: pb.WorkItem) -> None:
        request = item.activityRequest
        number = self._faults.count(request.name)
        again = self._faults.strike("before_activity", request.name, number)
        answer = self._run_activity(request)
        if again or self._faults.strike("after_activity", request.name, number):
            # the result of the first delivery was lost with its host; the work item comes again
            answer = self._run_activity(request)
        answer.completionToken = item.completionToken
        self._backend.complete_activity(answer)

    def _run_activity(self, request: pb.ActivityRequest) -> pb.ActivityResponse:
        answer = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId, taskId=request.taskId
        )
        function = self._app.of("activityTrigger").get(request.name)
        try:
            if function is None:
                raise LookupError(f"there is no activity '{request.name}'")
            result = self._call_activity(function, request)
        except Exception as error:
            _log.warning("activity %s failed: %s", request.name, error)
            details = answer.failureDetails
            details.errorType = type(error).__name__
            details.errorMessage = f"Activity function '{request.name}' failed: {error}"
            details.stackTrace.value = "".join(traceback.format_exception(error))
        else:
            answer.result.CopyFrom(StringValue(value=result))
        return answer

    def _call_activity(self, function: Function, request: pb.ActivityRequest) -> str:
        converter = _CONVERTERS.get("activityTrigger")
        given = request.input.value if request.HasField("input") else "null"
        value = converter.decode(meta.Datum(given, "json"), trigger_metadata=None)
        result = self._invoker.call_from_thread(function, value)
        return str(converter.encode(result, expected_type=None).value)

    def _entity(self, item: pb.WorkItem) -> None:
        answer = entities.run(self._app.of("entityTrigger"), item.entityRequestV2)
        answer.completionToken = item.completionToken
        self._backend.complete_entity(answer)


def run_orchestrator(
    function: Function, instance_id: str, history: list[dict[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    """Let the SDK replay the orchestrator over ``history``: its state, and its error if it raised."""
    started = next(event for event in history if event["EventType"] == 0)
    body = json.dumps(
        {
            "history": history,
            "input": json.loads(started["Input"]) if started["Input"] else None,
            "instanceId": instance_id,
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "maximumShortTimerDuration": _LONGEST_TIMER,
            "longRunningTimerIntervalDuration": _TIMER_PART,
        }
    )
    try:
        answer = function.handler(func.OrchestrationContext(body))
    except Exception as error:
        message, mark, state = str(error).partition(_STATE_MARK)
        empty: dict[str, Any] = {"isDone": False, "actions": []}
        return (json.loads(state) if mark else empty), message
    parsed: dict[str, Any] = json.loads(answer)
    return parsed, None


def _response(
    instance_id: str, actions: list[pb.OrchestratorAction], custom_status: Any = None
) -> pb.OrchestratorResponse:
    status = StringValue(value=json.dumps(custom_status)) if custom_status is not None else None
    return pb.OrchestratorResponse(instanceId=instance_id, actions=actions, customStatus=status)


def _completed(status: pb.OrchestrationStatus, result: str | None) -> pb.OrchestratorAction:
    done = pb.CompleteOrchestrationAction(
        orchestrationStatus=status, result=StringValue(value=result) if result is not None else None
    )
    return pb.OrchestratorAction(id=-1, completeOrchestration=done)


def _failed(message: str) -> pb.OrchestratorAction:
    details = pb.TaskFailureDetails(errorType="OrchestratorFailed", errorMessage=message)
    done = pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=details
    )
    return pb.OrchestratorAction(id=-1, completeOrchestration=done)


def _input_of(action: Action) -> str:
    return json.dumps(action.get("input"))


def _action(each: Scheduled, instance_id: str) -> pb.OrchestratorAction:
    given = StringValue(value=each.input) if each.input is not None else None
    if each.kind == "activity":
        return pb.OrchestratorAction(
            id=each.id, scheduleTask=pb.ScheduleTaskAction(name=each.name, input=given)
        )
    if each.kind == "sub":
        # as in the cloud an orchestrator's input is a JSON value: the SDK's text becomes a JSON string
        wrapped = StringValue(value=json.dumps(each.input))
        sub = pb.CreateSubOrchestrationAction(name=each.name, instanceId=each.instance_id, input=wrapped)
        return pb.OrchestratorAction(id=each.id, createSubOrchestration=sub)
    if each.kind == "timer":
        stamp = Timestamp()
        stamp.FromDatetime((each.fire_at or datetime.now(UTC)).astimezone(UTC))
        return pb.OrchestratorAction(id=each.id, createTimer=pb.CreateTimerAction(fireAt=stamp))
    return entities.message(each, instance_id, entity_request_id(instance_id, each.id))
