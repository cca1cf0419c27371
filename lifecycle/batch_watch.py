"""The reconciler's look at batches: one query a batch and tick, and one orchestration where it is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import azure.durable_functions as df

from imagery.contracts import JobState
from imagery.database.tables import Batch, ImageJob
from imagery.services import get_services
from lifecycle.batch_starter import start_batch
from lifecycle.instances import ALIVE, ENDED_BY_HAND, batch_instance_id, runtime_status, runtime_statuses


@dataclass
class BatchLook:
    """A batch as this tick found it. ``passed_over``: jobs whose turn came and broke before they began."""

    batch_id: str
    row: Batch | None
    status: str | None
    is_being_made: bool
    passed_over: set[str] = field(default_factory=set)
    resumed: set[str] = field(default_factory=set)

    @property
    def is_alive(self) -> bool:
        """True while its orchestration goes on, or is about to be started."""
        return self.status in ALIVE or self.is_being_made

    @property
    def was_cancelled(self) -> bool:
        """True when its owner has cancelled it."""
        return self.row is not None and self.row.cancelled_at is not None

    @property
    def was_ended_by_hand(self) -> bool:
        """True when an operator has terminated its orchestration."""
        return self.status in ENDED_BY_HAND

    def will_see_to(self, job: ImageJob) -> bool:
        """True when there is nothing to do for ``job``: its turn in this batch will come."""
        if job.job_id in self.resumed:
            return True
        return self.is_alive and job.state == JobState.QUEUED and job.job_id not in self.passed_over

    def runs(self, job: ImageJob) -> bool:
        """True for a job that this batch starts.

        Retries run by themselves, and so does a job that an upload had started before the batch took it in.
        """
        return job.run == 1 and (self.row is None or job.created_at >= self.row.created_at)


class BatchWatch:
    """The batches of one tick."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        self._client = client
        self._services = get_services()
        self._looks: dict[str, BatchLook] = {}

    async def of(self, job: ImageJob) -> BatchLook | None:
        """The batch that runs this job; Returns None for a job that runs by itself."""
        if job.batch_id is None:
            return None
        if job.batch_id not in self._looks:
            self._looks[job.batch_id] = await self._look(job.batch_id)
        look = self._looks[job.batch_id]
        # a cancel means those too that the batch had only taken in
        return look if look.runs(job) or (look.was_cancelled and job.run == 1) else None

    async def resume(self, look: BatchLook) -> tuple[int, list[ImageJob]]:
        """Start the batch again with what is still open, its fan-out bounded as before.

        Returns how many orchestrations were started, and the jobs that were started too often already.
        """
        jobs = await asyncio.to_thread(self._services.batches.open_jobs, look.batch_id)
        statuses = await runtime_statuses(self._client, (job.instance_id for job in jobs if look.runs(job)))
        lost = [
            job for job in jobs if look.runs(job) and statuses[job.instance_id] not in ALIVE | ENDED_BY_HAND
        ]
        counted = await asyncio.to_thread(self._services.batches.count_restart, lost)
        most = self._services.settings.upkeep.reconcile.restarts
        again = [job for job in counted if job.restarts <= most]
        look.resumed = {job.job_id for job in again}
        started = await start_batch(self._client, look.batch_id, again) if again else False
        return int(started), [job for job in counted if job.restarts > most]

    async def _look(self, batch_id: str) -> BatchLook:
        row = await asyncio.to_thread(self._services.batches.get, batch_id)
        status = await runtime_status(self._client, batch_instance_id(batch_id))
        look = BatchLook(batch_id, row, status, is_being_made=False)
        if status in ALIVE:
            look.passed_over = await self._passed_over(look)
        elif status is None and row is not None:
            look.is_being_made = await asyncio.to_thread(self._services.batches.is_being_made, row)
        return look

    async def _passed_over(self, look: BatchLook) -> set[str]:
        """Of the next jobs in turn, those whose orchestration has ended: only the next ones can have any."""
        jobs = await asyncio.to_thread(self._services.batches.open_jobs, look.batch_id)
        waiting = [job for job in jobs if job.state == JobState.QUEUED and look.runs(job)]
        following = waiting[: self._services.settings.jobs.quota.batch_parallel]
        statuses = await runtime_statuses(self._client, (job.instance_id for job in following))
        return {job.job_id for job in following if statuses[job.instance_id] not in ALIVE | {None}}
