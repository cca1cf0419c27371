"""Instances as the durable backend knows them: their ids, what became of them, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import azure.durable_functions as df

from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
# Suspended too: an operator may resume it, and the job's deadline bounds how long that may take
ALIVE = frozenset({"Pending", "Running", "Suspended"})
ENDED_BY_HAND = frozenset({"Terminated", "Canceled"})
_AT_ONCE = 16


def instance_id_of(job_id: str, run: int) -> str:
    """The orchestration's instance id: another one each run, because ended ids would be run again."""
    return f"{job_id}-{run}"


def batch_instance_id(batch_id: str) -> str:
    """The instance id of a batch."""
    return f"batch-{batch_id}"


def callback_instance_id(delivery: str) -> str:
    """The instance id of a delivery."""
    return f"callback-{delivery}"


async def runtime_status(client: df.DurableOrchestrationClient, instance_id: str) -> str | None:
    """The instance's runtime status, None when the durable backend does not know it."""
    status = await client.get_status(instance_id)
    if status is None or status.runtime_status is None:
        return None
    return str(status.runtime_status.name)


async def runtime_statuses(
    client: df.DurableOrchestrationClient, instance_ids: Iterable[str]
) -> dict[str, str | None]:
    """``runtime_status`` of many, a bounded number at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask(instance_id: str) -> tuple[str, str | None]:
        async with gate:
            return instance_id, await runtime_status(client, instance_id)

    return dict(await asyncio.gather(*(ask(each) for each in instance_ids)))


async def terminate_all(
    client: df.DurableOrchestrationClient, instance_ids: Iterable[str], reason: str
) -> None:
    """End instances as far as they can be reached: the rows count, and they say so already."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def end(instance_id: str) -> None:
        async with gate:
            try:
                await client.terminate(instance_id, reason)
            except Exception as error:
                _log.warning("terminate_failed", instance_id=instance_id, error=str(error))

    await asyncio.gather(*(end(each) for each in instance_ids))
