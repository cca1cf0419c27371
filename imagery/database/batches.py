"""Batches: their rows, written before their jobs, and the jobs of a batch as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_
from sqlalchemy import select as columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from imagery.contracts import TERMINAL_STATES, JobState
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.job_rows import lock_job
from imagery.database.quotas import expected_micro_usd, has_its_picture
from imagery.database.tables import Batch, ImageJob, StageRun, utc_now
from imagery.prices import Prices

_CHUNK = 200
# ingress ends a request at 240 s
_LONGEST_REQUEST = timedelta(minutes=4)


class Batches:
    """The repository of batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        batch: Batch,
        check: Callable[[Session, str], None] | None = None,
    ) -> tuple[Batch, bool]:
        """Insert the batch. Returns it and whether this call created it (False: it existed already).

        ``check`` is called with the owner inside the transaction of a new batch, and may raise.
        """
        try:
            with self._database.write() as session:
                existing = session.get(Batch, batch.batch_id)
                if existing is not None:
                    return existing, False
                if check is not None:
                    check(session, batch.owner_id)
                session.add(batch)
        except IntegrityError:
            made = self.get(batch.batch_id)
            if made is None:
                raise
            return made, False
        return batch, True

    def get(self, batch_id: str) -> Batch | None:
        """Returns None if there is no such batch."""
        with self._database.read() as session:
            return session.get(Batch, batch_id)

    def page(
        self, owner_id: str | None, limit: int, cursor: tuple[datetime, str] | None
    ) -> list[tuple[Batch, dict[str, int]]]:
        """Up to ``limit`` batches, newest first, each with how many of its jobs are in which state."""
        query = select(Batch).order_by(col(Batch.created_at).desc(), col(Batch.batch_id).desc())
        if owner_id is not None:
            query = query.where(Batch.owner_id == owner_id)
        if cursor is not None:
            at, batch_id = cursor
            earlier = (col(Batch.created_at) == at) & (col(Batch.batch_id) < batch_id)
            query = query.where(or_(col(Batch.created_at) < at, earlier))
        with self._database.read() as session:
            batches = list(session.exec(query.limit(limit)))
            states = _states(session, [batch.batch_id for batch in batches])
        return [(batch, states.get(batch.batch_id, {})) for batch in batches]

    def totals(self, batch_id: str) -> tuple[dict[str, int], float]:
        """How many jobs of the batch are in which state, and what all of them cost, USD."""
        query = (
            select(func.sum(StageRun.cost_usd))
            .join(ImageJob, col(ImageJob.job_id) == StageRun.job_id)
            .where(ImageJob.batch_id == batch_id)
        )
        with self._database.read() as session:
            states = _states(session, [batch_id]).get(batch_id, {})
            return states, round(session.exec(query).one() or 0.0, 6)

    def expected_micro_usd(self, batch_id: str, prices: Prices) -> int:
        """What the pictures of its open jobs are expected to cost yet."""
        is_open = col(ImageJob.state).not_in(TERMINAL_STATES) & (col(ImageJob.batch_id) == batch_id)
        with self._database.read() as session:
            return expected_micro_usd(session, prices, is_open & ~has_its_picture())

    def refuse(self, batch_id: str, refused: list[dict[str, Any]]) -> None:
        """Keep which items got no job, and why."""
        with self._database.write() as session:
            batch = session.get(Batch, batch_id)
            if batch is not None:
                batch.refused = refused

    def forget(self, batch_id: str) -> None:
        """Delete a batch that has no job."""
        with self._database.write() as session:
            batch = session.get(Batch, batch_id)
            if batch is not None:
                session.delete(batch)

    def cancel(self, batch_id: str) -> Batch | None:
        """Record once that the batch was cancelled: none of its jobs may start from now on."""
        with self._database.write() as session:
            batch = session.get(Batch, batch_id, with_for_update=True)
            if batch is not None:
                batch.cancelled_at = batch.cancelled_at or utc_now()
            return batch

    def is_being_made(self, batch: Batch) -> bool:
        """True while the request that creates the batch may still run: items have neither job nor error."""
        return utc_now() - batch.created_at < _LONGEST_REQUEST and not self._is_complete(batch)

    def broke_off(self, batch: Batch) -> bool:
        """True if the request that created the batch died before it reached every item."""
        return utc_now() - batch.created_at >= _LONGEST_REQUEST and not self._is_complete(batch)

    def _is_complete(self, batch: Batch) -> bool:
        query = select(func.count()).select_from(ImageJob).where(ImageJob.batch_id == batch.batch_id)
        with self._database.read() as session:
            return int(session.exec(query).one()) + len(batch.refused) >= batch.items

    def open_jobs(self, batch_id: str) -> list[ImageJob]:
        """The open jobs of the batch: first those that have begun, then the others in their order."""
        query = (
            select(ImageJob)
            .where(ImageJob.batch_id == batch_id)
            .where(col(ImageJob.state).not_in(TERMINAL_STATES))
            .order_by(col(ImageJob.created_at), col(ImageJob.job_id))
        )
        with self._database.read() as session:
            jobs = list(session.exec(query))
        return sorted(jobs, key=lambda job: job.state == JobState.QUEUED)

    def count_restart(self, jobs: list[ImageJob]) -> list[ImageJob]:
        """Count one restart of each job. Returns those that may still start, as they are now."""
        counted = []
        for start in range(0, len(jobs), _CHUNK):
            with self._database.write() as session:
                # every writer locks in this order, so that no two can wait for each other
                chunk = sorted(jobs[start : start + _CHUNK], key=lambda job: job.job_id)
                counted += [each for job in chunk if (each := _restarted(session, job)) is not None]
        order = {job.job_id: number for number, job in enumerate(jobs)}
        return sorted(counted, key=lambda job: order[job.job_id])


def _states(session: Session, batch_ids: list[str]) -> dict[str, dict[str, int]]:
    """By batch: how many of its jobs are in which state."""
    counts = columns(col(ImageJob.batch_id), col(ImageJob.state), func.count()).where(
        col(ImageJob.batch_id).in_(batch_ids)
    )
    states: dict[str, dict[str, int]] = {}
    for batch_id, state, count in session.execute(
        counts.group_by(col(ImageJob.batch_id), col(ImageJob.state))
    ):
        states.setdefault(batch_id, {})[state] = int(count)
    return states


def _restarted(session: Session, known: ImageJob) -> ImageJob | None:
    job = lock_job(session, known.job_id)
    if job is None or job.run != known.run or JobState(job.state).is_terminal:
        return None
    job.restarts += 1
    job.updated_at = utc_now()
    record(session, job, "job_restarted", level="warning", restarts=job.restarts)
    return job
