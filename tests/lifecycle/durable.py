"""A durable backend that is only a table of instances, behind the client's methods."""

from __future__ import annotations

from typing import Any, cast

import azure.durable_functions as df
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus

_RUNNING = {"Pending", "Running", "Suspended"}


class Durable:
    """Instances by id. ``away``: nothing can be started."""

    def __init__(self) -> None:
        self.instances: dict[str, str] = {}
        self.started: list[tuple[str, str, Any]] = []
        self.away = False

    @property
    def client(self) -> df.DurableOrchestrationClient:
        return cast("df.DurableOrchestrationClient", self)

    def started_ids(self) -> list[str]:
        return [instance_id for _, instance_id, _ in self.started]

    async def get_status(self, instance_id: str) -> DurableOrchestrationStatus:
        state = self.instances.get(instance_id)
        told = {"instanceId": instance_id, "runtimeStatus": state} if state else "not found"
        return DurableOrchestrationStatus.from_json(told)

    async def start_new(self, name: str, instance_id: str, given: Any) -> str:
        if self.away:
            raise RuntimeError("the backend is away")
        if self.instances.get(instance_id) in _RUNNING:
            raise RuntimeError("already running")
        self.started.append((name, instance_id, given))
        self.instances[instance_id] = "Running"
        return instance_id

    async def terminate(self, instance_id: str, reason: str) -> None:
        if instance_id not in self.instances:
            raise RuntimeError(f"No instance with ID '{instance_id}' found.")
        if self.instances[instance_id] in _RUNNING:
            self.instances[instance_id] = "Terminated"

    async def purge_instance_history(self, instance_id: str) -> None:
        if self.instances.get(instance_id) in _RUNNING:
            # the SDK's words for the extension's 412
            raise Exception("The operation failed with an unexpected status code 412")
        self.instances.pop(instance_id, None)
