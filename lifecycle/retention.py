"""The retention's tick: old pictures and durable history go, lost uploads are taken in.

A job's row is written last, and everything before can be done twice: what dies in the middle is finished
by the next tick.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import azure.durable_functions as df

from imagery.contracts import JOBS, BlobRef
from imagery.database.callbacks import delivery_id
from imagery.database.tables import ImageJob, utc_now
from imagery.services import get_services
from imagery.telemetry.logs import get_logger, log_context
from lifecycle.instances import (
    ALIVE,
    batch_instance_id,
    callback_instance_id,
    instance_id_of,
    runtime_status,
    terminate_all,
)
from lifecycle.tick import within_limit
from lifecycle.uploads import sweep

_log = get_logger(__name__)
_CHUNKS = 50
_MOST_FAILURES = 5
# jobs that one run clears
MAX_JOBS = 500


async def retain(client: df.DurableOrchestrationClient) -> int:
    """One tick. Returns how many jobs were cleared."""
    services = get_services()
    try:
        expired = await within_limit("retention", RetentionTick(client).run())
    finally:
        # even if deleting fails, lost uploads are taken in
        await within_limit("sweep", sweep(client))
    before = utc_now() - timedelta(days=services.settings.upkeep.retention.events_days)
    deleted = await asyncio.to_thread(services.retention.delete_old, before, _CHUNKS)
    if expired or deleted:
        _log.info("retained", expired=expired, rows_deleted=deleted)
    return expired


class RetentionTick:
    """The jobs of one tick that are old enough."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        self._client = client
        self._services = get_services()
        self._batches: set[str] = set()
        self._failures = 0

    async def run(self) -> int:
        """Clear the oldest jobs, one after the other."""
        settings = self._services.settings
        before = utc_now() - timedelta(days=settings.upkeep.retention.pictures_days)
        jobs = await asyncio.to_thread(self._services.retention.due, before, MAX_JOBS)
        leaving = {job.job_id for job in jobs}
        expired = 0
        for job in jobs:
            with log_context(job_id=job.job_id):
                expired += await self._try(job, leaving)
        return expired

    async def _try(self, job: ImageJob, leaving: set[str]) -> bool:
        """One job that can't be cleared must not keep the others; many mean that a service is down."""
        try:
            return await self._clear(job, leaving)
        except Exception as error:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise
            _log.warning("retention_failed", error=str(error))
            return False

    async def _clear(self, job: ImageJob, leaving: set[str]) -> bool:
        if not await asyncio.to_thread(self._services.retention.is_current, job):
            return False
        await asyncio.to_thread(self._delete_blobs, job, leaving)
        await self._purge(job)
        return await asyncio.to_thread(self._services.retention.expire, job)

    def _delete_blobs(self, job: ImageJob, leaving: set[str]) -> None:
        storage, retention = self._services.storage, self._services.retention
        # first of all, so that no job takes over what is about to go
        retention.forget_cached(job.job_id)
        for ref in storage.list(JOBS, f"{job.job_id}/"):
            storage.delete(ref)
        if job.source_container != JOBS and not retention.source_is_shared(job, leaving):
            storage.delete(
                BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
            )

    async def _purge(self, job: ImageJob) -> None:
        """The history of every run, of its callback, and of the batch; only what has ended is purged."""
        for run in range(1, job.run + 1):
            await self._purge_instance(instance_id_of(job.job_id, run))
            if job.callback_url:
                await self._purge_instance(callback_instance_id(delivery_id(job.job_id, run)))
        if job.batch_id is not None and job.batch_id not in self._batches:
            self._batches.add(job.batch_id)
            await self._purge_instance(batch_instance_id(job.batch_id))

    async def _purge_instance(self, instance_id: str) -> None:
        """One that outlived its job, such as a suspended one, is ended: none that runs is purged."""
        try:
            await self._client.purge_instance_history(instance_id)
        except Exception:
            if await runtime_status(self._client, instance_id) not in ALIVE:
                raise
            _log.warning("history_kept", instance_id=instance_id)
            await terminate_all(self._client, [instance_id], "its job has expired")
