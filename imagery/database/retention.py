"""What expires: pictures of old jobs, log events, verdicts, upload tickets. Rows of jobs and money stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, true
from sqlmodel import col, or_, select

from imagery.contracts import TERMINAL_STATES, JobState
from imagery.database.callbacks import CallbackState
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.job_rows import lock_job
from imagery.database.money import UNACCOUNTED
from imagery.database.tables import (
    BrowserSession,
    CallbackDelivery,
    GuardrailLog,
    ImageJob,
    JobEvent,
    SpendEntry,
    StageCacheEntry,
    UploadTicket,
    utc_now,
)

_ROWS_AT_ONCE = 1000


class Retention:
    """The repository of what expires."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, ended_before: datetime, limit: int) -> list[ImageJob]:
        """Jobs that ended before then and still have their pictures, the oldest first.

        Not among them: jobs whose paid call is not accounted for, because an operator needs to see the
        pictures, and jobs whose callback is still to be delivered.
        """
        open_money = exists().where(
            col(SpendEntry.job_id) == ImageJob.job_id, col(SpendEntry.state).in_(UNACCOUNTED)
        )
        open_callback = exists().where(
            col(CallbackDelivery.job_id) == ImageJob.job_id,
            col(CallbackDelivery.state) == CallbackState.PENDING,
        )
        query = (
            select(ImageJob)
            .where(col(ImageJob.state).in_(TERMINAL_STATES), col(ImageJob.expired_at).is_(None))
            .where(col(ImageJob.finished_at) < ended_before)
            .where(~open_money, ~open_callback)
            .order_by(col(ImageJob.finished_at), col(ImageJob.job_id))
            .limit(limit)
        )
        with self._database.read() as session:
            return list(session.exec(query))

    def is_current(self, job: ImageJob) -> bool:
        """True if the job has ended and was not run again since it was read."""
        with self._database.read() as session:
            return _is_unchanged(session.get(ImageJob, job.job_id), job)

    def source_is_shared(self, job: ImageJob, leaving: set[str]) -> bool:
        """True if a job that keeps its pictures has the same source; those ``leaving`` do not count."""
        same_version = or_(col(ImageJob.source_etag).is_(None), col(ImageJob.source_etag) == job.source_etag)
        query = (
            select(ImageJob.job_id)
            .where(ImageJob.source_container == job.source_container)
            .where(ImageJob.source_name == job.source_name)
            .where(col(ImageJob.expired_at).is_(None))
        )
        if job.source_etag is not None:
            query = query.where(same_version)
        with self._database.read() as session:
            return any(job_id not in leaving for job_id in session.exec(query))

    def forget_cached(self, job_id: str) -> None:
        """Remove the job's results from the cache: no other job reuses them from now on."""
        with self._database.write() as session:
            session.execute(delete(StageCacheEntry).where(col(StageCacheEntry.job_id) == job_id))

    def expire(self, job: ImageJob) -> bool:
        """Record that the job's pictures are gone. Returns False if the job was run again meanwhile."""
        with self._database.write() as session:
            row = lock_job(session, job.job_id)
            if row is None or not _is_unchanged(row, job):
                return False
            row.expired_at = utc_now()
            record(session, row, "job_expired")
            return True

    def delete_old(self, before: datetime, chunks: int) -> int:
        """Delete log events, verdicts and upload tickets older than ``before``, at most ``chunks`` of each.

        Returns how many rows were deleted.
        """
        kinds = (self._delete_events_once, self._delete_verdicts_once, self._delete_tickets_once)
        self._delete_sessions()
        return sum(_while_some(delete_once, before, chunks) for delete_once in kinds)

    def _delete_sessions(self) -> None:
        """Those that have ended by themselves."""
        with self._database.write() as session:
            session.execute(delete(BrowserSession).where(col(BrowserSession.expires_at) < utc_now()))

    def _delete_events_once(self, before: datetime) -> int:
        # the newest event stays, because SQLite uses the id of a deleted last row again
        newest = select(func.max(JobEvent.id)).scalar_subquery()
        return self._delete_oldest(JobEvent, JobEvent.at, before, col(JobEvent.id) < newest)

    def _delete_verdicts_once(self, before: datetime) -> int:
        return self._delete_oldest(GuardrailLog, GuardrailLog.created_at, before, true())

    def _delete_oldest(self, table: Any, moment: Any, before: datetime, among: Any) -> int:
        # ids grow with time: old rows have the smallest ids, and no others need to be read
        oldest = select(table.id, moment).where(among).order_by(col(table.id)).limit(_ROWS_AT_ONCE)
        with self._database.write() as session:
            old = [number for number, at in session.exec(oldest) if at < before]
            if old:
                session.execute(delete(table).where(col(table.id).in_(old)))
            return len(old)

    def _delete_tickets_once(self, before: datetime) -> int:
        old = select(UploadTicket.ticket_id).where(col(UploadTicket.expires_at) < before).limit(_ROWS_AT_ONCE)
        with self._database.write() as session:
            ids = list(session.exec(old))
            if ids:
                session.execute(delete(UploadTicket).where(col(UploadTicket.ticket_id).in_(ids)))
            return len(ids)


def _while_some(delete_once: Callable[[datetime], int], before: datetime, chunks: int) -> int:
    deleted = 0
    for _ in range(chunks):
        found = delete_once(before)
        deleted += found
        if found == 0:
            break
    return deleted


def _is_unchanged(row: ImageJob | None, job: ImageJob) -> bool:
    return (
        row is not None and row.run == job.run and row.expired_at is None and JobState(row.state).is_terminal
    )
