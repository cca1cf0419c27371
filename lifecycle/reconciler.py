"""Looks for jobs that stand still because their orchestration is gone, and repairs or fails each.

========================================== ==============================================================
what is found                              what is done
========================================== ==============================================================
the deadline has passed                    FAILED ``deadline_exceeded``, the orchestration terminated
the orchestration is alive, or suspended   nothing: it waits, and the deadline bounds how long
the orchestration is gone, or has ended    started again, finished stages are kept; after too many times
without a result                           FAILED ``restarts_exhausted``
it was terminated by hand                  FAILED ``orchestration_terminated``
the orchestration of its batch is gone     the batch started again with what is still open
its batch was cancelled                    CANCELLED
a paid call whose process died             settled where its answer was stored, else ``unknown``
========================================== ==============================================================
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import azure.durable_functions as df

from imagery.contracts import JobState, Stage
from imagery.database.tables import ImageJob, utc_now
from imagery.reporting.run_span import record_run
from imagery.services import get_services
from imagery.telemetry.logs import get_logger, log_context
from lifecycle.batch_watch import BatchLook, BatchWatch
from lifecycle.instances import (
    ALIVE,
    ENDED_BY_HAND,
    callback_instance_id,
    runtime_status,
    terminate_all,
)
from lifecycle.ledger_sweep import close_lost_calls
from lifecycle.starter import start_callback, try_start
from lifecycle.tick import within_limit

_log = get_logger(__name__)
_MOST_FAILURES = 5
# jobs that are read at once
_PAGE = 500


async def reconcile(client: df.DurableOrchestrationClient) -> int:
    """One tick. Returns how many jobs were started again or ended."""
    tick = ReconcilerTick(client)
    repaired = await within_limit("reconcile", tick.run())
    return repaired + await within_limit("callbacks", tick.deliver_callbacks())


class ReconcilerTick:
    """One look at every job that has not changed for a while."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        self._client = client
        self._services = get_services()
        self._batches = BatchWatch(client)
        self._failures = 0

    async def run(self) -> int:
        """Page by page, so that many jobs that merely wait can't hide one that is lost."""
        settings = self._services.settings
        since = utc_now() - timedelta(seconds=settings.upkeep.reconcile.grace_s)
        repaired = looked_at = 0
        while looked_at < settings.upkeep.reconcile.jobs:
            jobs = await asyncio.to_thread(self._services.jobs.unfinished, since, _PAGE, looked_at)
            looked_at += len(jobs)
            for job in jobs:
                with log_context(job_id=job.job_id, stage=job.stage):
                    repaired += await self._try(job)
                if repaired >= settings.upkeep.reconcile.starts:
                    return repaired
            if len(jobs) < _PAGE:
                break
        repaired += await asyncio.to_thread(
            close_lost_calls, self._services, settings.upkeep.reconcile.starts
        )
        if repaired:
            _log.info("reconciled", looked_at=looked_at, repaired=repaired)
        return repaired

    async def deliver_callbacks(self) -> int:
        """Start the delivery of each callback that is due and that no orchestration waits to send."""
        started = 0
        due = await asyncio.to_thread(
            self._services.callbacks.due, self._services.settings.upkeep.reconcile.starts
        )
        for delivery in due:
            with log_context(job_id=delivery.job_id):
                status = await runtime_status(self._client, callback_instance_id(delivery.delivery_id))
                if status not in ALIVE:
                    started += await start_callback(self._client, delivery.delivery_id)
        return started

    async def _try(self, job: ImageJob) -> int:
        """One job that can't be looked at must not hide those after it; many mean that a service is down."""
        try:
            return await self._look_after(job)
        except Exception as error:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise
            _log.warning("reconcile_failed", error=str(error))
            return 0

    async def _look_after(self, job: ImageJob) -> int:
        batch = await self._batches.of(job)
        if batch is not None and batch.was_cancelled:
            return await self._cancel(job)
        if utc_now() >= job.deadline + timedelta(seconds=self._services.settings.upkeep.reconcile.grace_s):
            return await self._fail(job, "deadline_exceeded", "The job's deadline has passed.")
        if batch is not None and batch.will_see_to(job):
            return 0
        status = await runtime_status(self._client, job.instance_id)
        return 0 if status in ALIVE else await self._repair(job, status, batch)

    async def _repair(self, job: ImageJob, status: str | None, batch: BatchLook | None) -> int:
        if status in ENDED_BY_HAND or (batch is not None and batch.was_ended_by_hand):
            message = "An operator ended the job's orchestration. Retry the job to run it again."
            return await self._fail(job, "orchestration_terminated", message)
        if batch is not None and not batch.is_alive:
            return await self._resume(batch)
        return await self._restart(job)

    async def _resume(self, batch: BatchLook) -> int:
        started, exhausted = await self._batches.resume(batch)
        for job in exhausted:
            started += await self._give_up(job, job.restarts)
        return started

    async def _restart(self, job: ImageJob) -> int:
        restarts = await asyncio.to_thread(self._services.jobs.count_restart, job.job_id, job.run)
        if restarts is None:
            return 0
        if restarts > self._services.settings.upkeep.reconcile.restarts:
            return await self._give_up(job, restarts)
        return int(await try_start(self._client, job))

    async def _give_up(self, job: ImageJob, restarts: int) -> int:
        message = f"The orchestration was lost, or ended without a result, {restarts} times."
        return await self._fail(job, "restarts_exhausted", message)

    async def _cancel(self, job: ImageJob) -> int:
        await asyncio.to_thread(self._services.jobs.cancel, job.job_id)
        return await self._end_instance(job, "cancelled")

    async def _fail(self, job: ImageJob, code: str, message: str) -> int:
        jobs = self._services.jobs
        current = await asyncio.to_thread(jobs.get, job.job_id)
        if current is None or current.run != job.run or JobState(current.state).is_terminal:
            return 0
        stage = Stage(current.stage) if current.stage else None
        ended = await asyncio.to_thread(
            jobs.finish, job.job_id, job.run, JobState.FAILED, stage=stage, error_code=code, message=message
        )
        if ended is not None:
            record_run(ended, job.run, self._services.settings.job_deadline)
        return await self._end_instance(job, code)

    async def _end_instance(self, job: ImageJob, reason: str) -> int:
        if await runtime_status(self._client, job.instance_id) in ALIVE:
            await terminate_all(self._client, [job.instance_id], reason)
        return 1
