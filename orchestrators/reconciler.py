"""Looks for jobs that stand still because their orchestration is gone, and repairs or fails each."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import azure.durable_functions as df

from imagery.contracts import JobState, Stage
from imagery.database.tables import ImageJob, utc_now
from imagery.services import get_services
from imagery.telemetry.logs import get_logger, log_context
from orchestrators.starter import batch_instance_id, try_start

_log = get_logger(__name__)
_ALIVE = {"Pending", "Running", "ContinuedAsNew", "Suspended"}


async def reconcile(client: df.DurableOrchestrationClient) -> int:
    """One tick: how many jobs were started again or ended."""
    services = get_services()
    settings = services.settings
    since = utc_now() - timedelta(seconds=settings.reconcile_grace_s)
    jobs = await asyncio.to_thread(services.jobs.unfinished, since, settings.reconcile_page)
    repaired = 0
    for job in jobs:
        if repaired >= settings.reconcile_max_starts:
            break
        with log_context(job_id=job.job_id, stage=job.stage):
            repaired += await _look_after(client, job)
    if repaired:
        _log.info("reconciled", looked_at=len(jobs), repaired=repaired)
    return repaired


async def _look_after(client: df.DurableOrchestrationClient, job: ImageJob) -> bool:
    if utc_now() >= job.deadline + timedelta(seconds=get_services().settings.reconcile_grace_s):
        return await _fail(client, job, "deadline_exceeded", "The job's deadline has passed.")
    status = await _runtime_status(client, job.instance_id)
    if status in _ALIVE:
        return False
    if status is None:
        if job.batch_id and await _runtime_status(client, batch_instance_id(job.batch_id)) in _ALIVE:
            return False  # its turn in the batch has not come yet
        return await _restart(client, job)
    return await _fail(
        client, job, "orchestration_ended", f"The orchestration ended ({status}) without a result."
    )


async def _runtime_status(client: df.DurableOrchestrationClient, instance_id: str) -> str | None:
    """The instance's runtime status, None when the durable backend does not know it."""
    status = await client.get_status(instance_id)
    if status is None or status.runtime_status is None:
        return None
    return str(status.runtime_status.name)


async def _restart(client: df.DurableOrchestrationClient, job: ImageJob) -> bool:
    services = get_services()
    restarts = await asyncio.to_thread(services.jobs.count_restart, job.job_id, job.run)
    if restarts is None:
        return False
    if restarts > services.settings.reconcile_max_restarts:
        return await _fail(client, job, "restarts_exhausted", f"The orchestration was lost {restarts} times.")
    return await try_start(client, job)


async def _fail(client: df.DurableOrchestrationClient, job: ImageJob, code: str, message: str) -> bool:
    services = get_services()
    current = await asyncio.to_thread(services.jobs.get, job.job_id)
    if current is None or current.run != job.run or JobState(current.state).is_terminal:
        return False
    stage = Stage(current.stage) if current.stage else None
    await asyncio.to_thread(
        services.jobs.finish,
        job.job_id,
        job.run,
        JobState.FAILED,
        stage=stage,
        error_code=code,
        message=message,
    )
    if await _runtime_status(client, job.instance_id) in _ALIVE:
        await client.terminate(job.instance_id, code)
    return True
