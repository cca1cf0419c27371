"""Looks for jobs that stand still because their orchestration is gone, and repairs or fails each."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import azure.durable_functions as df

from imagery.contracts import JobState, Stage
from imagery.database.tables import ImageJob, utc_now
from imagery.services import get_services
from imagery.telemetry.logs import get_logger, log_context
from orchestrators.starter import batch_instance_id, callback_instance_id, start_callback, try_start

_log = get_logger(__name__)
_ALIVE = {"Pending", "Running", "ContinuedAsNew", "Suspended"}


async def reconcile(client: df.DurableOrchestrationClient) -> int:
    """One tick: how many jobs were started again or ended."""
    return await Tick(client).run()


class Tick:
    """One look at every job that nobody has touched for a while."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        self._client = client
        self._services = get_services()
        self._batches: dict[str, bool] = {}

    async def run(self) -> int:
        """Page by page, so that many jobs that merely wait can't hide one that is lost."""
        settings = self._services.settings
        since = utc_now() - timedelta(seconds=settings.reconcile_grace_s)
        repaired = looked_at = 0
        while looked_at < settings.reconcile_max_jobs:
            jobs = await asyncio.to_thread(
                self._services.jobs.unfinished, since, settings.reconcile_page, looked_at
            )
            looked_at += len(jobs)
            for job in jobs:
                with log_context(job_id=job.job_id, stage=job.stage):
                    repaired += await self._look_after(job)
                if repaired >= settings.reconcile_max_starts:
                    return repaired
            if len(jobs) < settings.reconcile_page:
                break
        repaired += await self._deliver_callbacks()
        if repaired:
            _log.info("reconciled", looked_at=looked_at, repaired=repaired)
        return repaired

    async def _deliver_callbacks(self) -> int:
        """Start what should deliver a callback that is due; what is due has nobody that waits for it."""
        started = 0
        due = await asyncio.to_thread(
            self._services.callbacks.due, self._services.settings.reconcile_max_starts
        )
        for delivery in due:
            with log_context(job_id=delivery.job_id):
                status = await _runtime_status(self._client, callback_instance_id(delivery.delivery_id))
                if status not in _ALIVE:
                    started += await start_callback(self._client, delivery.delivery_id)
        return started

    async def _look_after(self, job: ImageJob) -> bool:
        client = self._client
        if utc_now() >= job.deadline + timedelta(seconds=self._services.settings.reconcile_grace_s):
            return await _fail(client, job, "deadline_exceeded", "The job's deadline has passed.")
        if job.state == JobState.QUEUED and await self._waits_in_a_batch(job):
            return False
        status = await _runtime_status(client, job.instance_id)
        if status in _ALIVE:
            return False
        if status is None:
            return await _restart(client, job)
        message = f"The orchestration ended ({status}) without a result."
        return await _fail(client, job, "orchestration_ended", message)

    async def _waits_in_a_batch(self, job: ImageJob) -> bool:
        """True while the job's batch is alive: its turn will come. Asked once a batch and tick."""
        if job.batch_id is None:
            return False
        if job.batch_id not in self._batches:
            status = await _runtime_status(self._client, batch_instance_id(job.batch_id))
            self._batches[job.batch_id] = status in _ALIVE
        return self._batches[job.batch_id]


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
