"""Drives orchestrators, activities and entities with the work items of the backend."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
from azure.functions import meta
from google.protobuf.wrappers_pb2 import StringValue

from devhost import entities, http_activity
from devhost.app import App, Function
from devhost.backend import Backend
from devhost.episodes import Episode, run_orchestrator
from devhost.faults import FaultInjector
from devhost.invocation import Invoker
from devhost.settings import HostSettings

__all__ = ["DurableWorker", "run_orchestrator"]

_log = logging.getLogger(__name__)
_STOP_S = 0.5
_CONVERTERS: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class DurableWorker:
    """Takes work items from the backend and completes them, a limited number at a time."""

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
        # entities must not wait for long activities
        self._entities = ThreadPoolExecutor(settings.max_orchestrators, thread_name_prefix="entity")
        self._thread = threading.Thread(target=self._main, name="durable", daemon=True)

    def start(self) -> None:
        """Begin to take work items."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more work items; running ones are abandoned, as when the platform removes an instance."""
        self._backend.stop()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        for pool in (self._activities, self._orchestrators, self._entities):
            pool.shutdown(wait=False, cancel_futures=True)

    def _main(self) -> None:
        for item in self._backend.work_items():
            if item.HasField("orchestratorRequest"):
                self._orchestrators.submit(_logged, self._episode, item)
            elif item.HasField("activityRequest"):
                self._activities.submit(_logged, self._activity, item)
            elif item.HasField("entityRequestV2"):
                self._entities.submit(_logged, self._entity, item)

    def _episode(self, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        episode = Episode(request, self._backend.parent_of(request.instanceId))
        if self._faults.strike("before_episode", episode.name, len(episode.events)):
            self._backend.abandon_orchestrator(item.completionToken)
            return
        try:
            functions = self._app.of("orchestrationTrigger")
            response = self._invoker.in_pool(lambda: episode.run(functions))
        except Exception as error:
            # an instance that the host can't continue must end, or it would run forever
            _log.exception("orchestrator %s broke the host", episode.name)
            response = episode.fail(str(error))
        if self._faults.strike("after_episode", episode.name, len(episode.events)):
            self._backend.abandon_orchestrator(item.completionToken)
            return
        response.completionToken = item.completionToken
        self._backend.complete_orchestrator(response)

    def _activity(self, item: pb.WorkItem) -> None:
        request = item.activityRequest
        number = self._faults.count(request.name)
        if self._faults.strike("before_activity", request.name, number):
            self._redeliver(item)
            return
        response = self._run_activity(request)
        if self._faults.strike("after_activity", request.name, number):
            self._redeliver(item)
            return
        response.completionToken = item.completionToken
        self._backend.complete_activity(response)

    def _redeliver(self, item: pb.WorkItem) -> None:
        """As after a lost lease; the backend itself can't take an activity back."""
        self._activities.submit(_logged, self._activity, item)

    def _run_activity(self, request: pb.ActivityRequest) -> pb.ActivityResponse:
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId, taskId=request.taskId
        )
        function = self._app.of("activityTrigger").get(request.name)
        try:
            result = self._call_activity(function, request)
        except Exception as error:
            _log.warning("activity %s failed: %s: %s", request.name, type(error).__name__, error)
            details = response.failureDetails
            details.errorType = type(error).__name__
            # the extension's words around the worker's
            details.errorMessage = (
                f"Activity function '{request.name}' failed: {type(error).__name__}: {error}"
            )
            details.stackTrace.value = "".join(traceback.format_exception(error))
        else:
            response.result.CopyFrom(StringValue(value=result))
        return response

    def _call_activity(self, function: Function | None, request: pb.ActivityRequest) -> str:
        if request.name == http_activity.NAME:
            return http_activity.call(request.input.value)
        if function is None:
            raise LookupError(f"there is no activity '{request.name}'")
        converter = _CONVERTERS.get("activityTrigger")
        given = request.input.value if request.HasField("input") else "null"
        value = converter.decode(meta.Datum(given, "json"), trigger_metadata=None)
        result = self._invoker.call_from_thread(function, value)
        return str(converter.encode(result, expected_type=None).value)

    def _entity(self, item: pb.WorkItem) -> None:
        functions = self._app.of("entityTrigger")
        response = self._invoker.in_pool(lambda: entities.run(functions, item.entityRequestV2))
        response.completionToken = item.completionToken
        self._backend.complete_entity(response)


def _logged(work: Callable[[pb.WorkItem], None], item: pb.WorkItem) -> None:
    try:
        work(item)
    except Exception:
        _log.exception("a work item broke the host")
