"""Starts, resumes and cancels the orchestration of a batch."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df

from imagery.contracts import BatchInput, BatchItem, JobState
from imagery.database.tables import Batch, ImageJob
from imagery.services import get_services
from imagery.telemetry.logs import get_logger
from lifecycle.instances import batch_instance_id, terminate_all
from lifecycle.starter import pipeline_input

_log = get_logger(__name__)
_CANCELLED = "cancelled"
# rows that one transaction ends: others wait for its locks
_AT_ONCE = 100


async def start_batch(client: df.DurableOrchestrationClient, batch_id: str, jobs: list[ImageJob]) -> bool:
    """Start one orchestration over jobs whose rows exist, in their order.

    False, and a log line, when the durable backend does not accept it: the reconciler starts it later.
    """
    settings = get_services().settings
    message = BatchInput(
        batch_id=batch_id,
        parallel=settings.jobs.quota.batch_parallel,
        job_deadline_s=settings.jobs.deadline_s,
        pipelines=[
            BatchItem(instance_id=job.instance_id, pipeline=pipeline_input(job, settings)) for job in jobs
        ],
    )
    try:
        await client.start_new("batch", batch_instance_id(batch_id), message.to_json())
    except Exception as error:
        _log.warning("start_deferred", batch_id=batch_id, error=str(error))
        return False
    return True


async def cancel_batch(client: df.DurableOrchestrationClient, batch_id: str) -> Batch | None:
    """Cancel every job of the batch that has not ended, for good; None when there is no such batch.

    No stage begins, and nothing is paid, for a job whose row is CANCELLED; those that have begun come
    first. What dies in between is finished by the reconciler, which finds the batch cancelled.
    """
    services = get_services()
    batch = await asyncio.to_thread(services.batches.cancel, batch_id)
    if batch is None:
        return None
    # or it would start one item after the other while their rows are being written
    await terminate_all(client, [batch_instance_id(batch_id)], _CANCELLED)
    jobs = await asyncio.to_thread(services.batches.open_jobs, batch_id)
    await asyncio.to_thread(_cancel_jobs, jobs)
    begun = [job.instance_id for job in jobs if job.state != JobState.QUEUED]
    await terminate_all(client, begun, _CANCELLED)
    return batch


def _cancel_jobs(jobs: list[ImageJob]) -> None:
    repository = get_services().jobs
    for start in range(0, len(jobs), _AT_ONCE):
        repository.cancel_many(jobs[start : start + _AT_ONCE])
