"""Microsoft's in-memory Durable Task backend, called in this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

import durabletask.internal.orchestrator_service_pb2 as pb
import grpc
from durabletask.testing import InMemoryOrchestrationBackend
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

# events of one execution: the host fails it before the backend would refuse its next episode
HISTORY_LIMIT = 10_000

STATUS_NAMES = {
    pb.ORCHESTRATION_STATUS_RUNNING: "Running",
    pb.ORCHESTRATION_STATUS_COMPLETED: "Completed",
    pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW: "ContinuedAsNew",
    pb.ORCHESTRATION_STATUS_FAILED: "Failed",
    pb.ORCHESTRATION_STATUS_CANCELED: "Canceled",
    pb.ORCHESTRATION_STATUS_TERMINATED: "Terminated",
    pb.ORCHESTRATION_STATUS_PENDING: "Pending",
    pb.ORCHESTRATION_STATUS_SUSPENDED: "Suspended",
}
ENDED = {
    pb.ORCHESTRATION_STATUS_COMPLETED,
    pb.ORCHESTRATION_STATUS_FAILED,
    pb.ORCHESTRATION_STATUS_CANCELED,
    pb.ORCHESTRATION_STATUS_TERMINATED,
}


class BackendError(Exception):
    """The backend refused a call; ``code`` is a gRPC status code."""

    def __init__(self, code: Any, message: str) -> None:
        super().__init__(message)
        self.code = code


class _CallContext:
    """The gRPC context of a call that stays in this process."""

    def __init__(self) -> None:
        self.active = True

    def is_active(self) -> bool:
        """False ends a stream of work items."""
        return self.active

    def abort(self, code: Any, message: str) -> NoReturn:
        """Raise ``BackendError`` where a gRPC server would send an error."""
        raise BackendError(code, message)


class Backend:
    """The few calls that the host needs."""

    def __init__(self) -> None:
        self._service = InMemoryOrchestrationBackend(max_history_size=2 * HISTORY_LIMIT)
        self._stream = _CallContext()
        # the backend itself keeps no parents
        self._parents: dict[str, str] = {}

    def work_items(self) -> Iterator[pb.WorkItem]:
        """Yield work items as they come up, until ``stop``."""
        items: Iterator[pb.WorkItem] = self._service.GetWorkItems(pb.GetWorkItemsRequest(), self._stream)
        return items

    def stop(self) -> None:
        """End the stream of work items."""
        self._stream.active = False

    def start(self, name: str, instance_id: str, input_json: str | None, version: str | None) -> str:
        """Start an instance; one that has ended runs again. Raises ``BackendError`` (ALREADY_EXISTS)."""
        request = pb.CreateInstanceRequest(
            instanceId=instance_id,
            name=name,
            input=StringValue(value=input_json) if input_json is not None else None,
            version=StringValue(value=version) if version else None,
            orchestrationIdReusePolicy=pb.OrchestrationIdReusePolicy(replaceableStatus=list(ENDED)),
        )
        started = str(self._service.StartInstance(request, _CallContext()).instanceId)
        self._parents.pop(started, None)
        return started

    def get(self, instance_id: str) -> pb.OrchestrationState | None:
        """Returns the state of an instance, None if it does not exist."""
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        response = self._service.GetInstance(request, _CallContext())
        return response.orchestrationState if response.exists else None

    def query(
        self,
        statuses: list[pb.OrchestrationStatus],
        created_from: datetime | None,
        created_to: datetime | None,
        prefix: str | None,
    ) -> list[pb.OrchestrationState]:
        """Returns the instances that match, in the order of their ids, as Azure Storage keeps them."""
        query = pb.InstanceQuery(
            runtimeStatus=statuses,
            createdTimeFrom=_stamp(created_from),
            createdTimeTo=_stamp(created_to),
            instanceIdPrefix=StringValue(value=prefix) if prefix else None,
            fetchInputsAndOutputs=True,
        )
        response = self._service.QueryInstances(pb.QueryInstancesRequest(query=query), _CallContext())
        return sorted(response.orchestrationState, key=lambda state: str(state.instanceId))

    def history(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The events of the present execution."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance_id)
        chunks = self._service.StreamInstanceHistory(request, _CallContext())
        return [event for chunk in chunks for event in chunk.events]

    def raise_event(self, instance_id: str, name: str, data_json: str | None) -> None:
        """Deliver an external event."""
        data = StringValue(value=data_json) if data_json is not None else None
        request = pb.RaiseEventRequest(instanceId=instance_id, name=name, input=data)
        self._service.RaiseEvent(request, _CallContext())

    def terminate(self, instance_id: str, reason: str) -> None:
        """End an instance; its children go on, as in the cloud."""
        output = StringValue(value=reason)
        request = pb.TerminateRequest(instanceId=instance_id, output=output)
        self._service.TerminateInstance(request, _CallContext())

    def suspend(self, instance_id: str, reason: str) -> None:
        """Suspend an instance."""
        text = StringValue(value=reason)
        self._service.SuspendInstance(pb.SuspendRequest(instanceId=instance_id, reason=text), _CallContext())

    def resume(self, instance_id: str, reason: str) -> None:
        """Resume a suspended instance."""
        text = StringValue(value=reason)
        self._service.ResumeInstance(pb.ResumeRequest(instanceId=instance_id, reason=text), _CallContext())

    def rewind(self, instance_id: str, reason: str) -> None:
        """Run a failed instance again from its failed tasks."""
        text = StringValue(value=reason)
        self._service.RewindInstance(
            pb.RewindInstanceRequest(instanceId=instance_id, reason=text), _CallContext()
        )

    def purge(self, instance_id: str) -> int:
        """Purge an ended instance. Returns how many were purged."""
        self._parents.pop(instance_id, None)
        request = pb.PurgeInstancesRequest(instanceId=instance_id)
        return int(self._service.PurgeInstances(request, _CallContext()).deletedInstanceCount)

    def signal_entity(self, entity_id: str, operation: str, input_json: str | None) -> None:
        """Send an operation to an entity without waiting."""
        given = StringValue(value=input_json) if input_json is not None else None
        request = pb.SignalEntityRequest(instanceId=entity_id, name=operation, input=given)
        self._service.SignalEntity(request, _CallContext())

    def entity_state(self, entity_id: str) -> str | None:
        """Returns the state of an entity as JSON, None if no operation has run on it."""
        request = pb.GetEntityRequest(instanceId=entity_id, includeState=True)
        response = self._service.GetEntity(request, _CallContext())
        # between its first signal and the end of its first operation it exists and has no state
        return str(response.entity.serializedState.value) or None

    def parent_of(self, instance_id: str) -> str | None:
        """The instance that called this one as a sub-orchestrator, None if it was started."""
        return self._parents.get(instance_id)

    def complete_orchestrator(self, response: pb.OrchestratorResponse) -> None:
        """Complete an episode."""
        for action in response.actions:
            if action.HasField("createSubOrchestration"):
                self._parents[action.createSubOrchestration.instanceId] = response.instanceId
        self._service.CompleteOrchestratorTask(response, _CallContext())
        # events that came in meanwhile wait for this; without it the backend would notice them 0.1 s later
        self._service._work_available.set()

    def abandon_orchestrator(self, completion_token: str) -> None:
        """Abandon an episode: it is delivered again."""
        request = pb.AbandonOrchestrationTaskRequest(completionToken=completion_token)
        self._service.AbandonTaskOrchestratorWorkItem(request, _CallContext())

    def complete_activity(self, response: pb.ActivityResponse) -> None:
        """Complete an activity."""
        self._service.CompleteActivityTask(response, _CallContext())

    def complete_entity(self, response: pb.EntityBatchResult) -> None:
        """Complete a batch of entity operations."""
        self._service.CompleteEntityTask(response, _CallContext())


def _stamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def is_conflict(error: BackendError) -> bool:
    """True if an instance of this id is still running."""
    return bool(error.code == grpc.StatusCode.ALREADY_EXISTS)
