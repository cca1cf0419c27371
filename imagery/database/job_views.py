"""Jobs as they are shown: with their stages and callbacks, one or a page of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import literal, tuple_
from sqlmodel import Session, col, select

from imagery.contracts import JobState
from imagery.database.callbacks import latest
from imagery.database.job_rows import stages_of
from imagery.database.tables import CallbackDelivery, ImageJob, StageRun
from imagery.database.utc_datetime import UtcDateTime


@dataclass(frozen=True)
class JobFilter:
    """Which jobs, and in which order.

    ``owner_id`` None: those of all owners. ``source``: container and name of a blob.
    """

    owner_id: str | None
    states: list[JobState] | None = None
    batch_id: str | None = None
    source: tuple[str, str] | None = None
    oldest_first: bool = False


@dataclass(frozen=True)
class JobView:
    """A job with its stages in order, and its newest callback."""

    job: ImageJob
    stages: list[StageRun]
    callback: CallbackDelivery | None = None


@dataclass(frozen=True)
class JobViewPage:
    """Jobs in their order, and the cursor of the next page (None at the end)."""

    jobs: list[JobView]
    cursor: tuple[datetime, str] | None


def job_view(session: Session, job_id: str) -> JobView | None:
    """The job with its stages. Returns None if there is no such job."""
    job = session.get(ImageJob, job_id)
    if job is None:
        return None
    stages = stages_of(session, [job_id]).get(job_id, [])
    return JobView(job, stages, latest(session, [job_id]).get(job_id))


def job_page(
    session: Session, wanted: JobFilter, limit: int, cursor: tuple[datetime, str] | None
) -> JobViewPage:
    """One page of jobs, newest first unless the filter says otherwise."""
    found = _found(session, wanted, limit + 1, cursor)
    jobs = found[:limit]
    ids = [job.job_id for job in jobs]
    stages, callbacks = stages_of(session, ids), latest(session, ids)
    views = [JobView(job, stages.get(job.job_id, []), callbacks.get(job.job_id)) for job in jobs]
    return JobViewPage(views, _place(jobs[-1]) if len(found) > limit else None)


def _found(
    session: Session, wanted: JobFilter, limit: int, cursor: tuple[datetime, str] | None
) -> list[ImageJob]:
    """The first jobs behind ``cursor``: asked for by state, because the index sorts those of one state."""
    states: Iterable[JobState | None] = dict.fromkeys(wanted.states) if wanted.states else [None]
    queries = (_query(wanted, state, cursor).limit(limit) for state in states)
    jobs = [job for query in queries for job in session.exec(query)]
    return sorted(jobs, key=_place, reverse=not wanted.oldest_first)[:limit]


def _query(wanted: JobFilter, state: JobState | None, cursor: tuple[datetime, str] | None) -> Any:
    query = select(ImageJob)
    if wanted.owner_id is not None:
        query = query.where(ImageJob.owner_id == wanted.owner_id)
    if state is not None:
        query = query.where(ImageJob.state == state)
    if wanted.batch_id is not None:
        query = query.where(ImageJob.batch_id == wanted.batch_id)
    if wanted.source is not None:
        container, name = wanted.source
        query = query.where(ImageJob.source_container == container, ImageJob.source_name == name)
    place = tuple_(col(ImageJob.created_at), col(ImageJob.job_id))
    if cursor is not None:
        after = tuple_(literal(cursor[0], UtcDateTime()), literal(cursor[1]))
        query = query.where(place > after if wanted.oldest_first else place < after)
    return query.order_by(*(each if wanted.oldest_first else each.desc() for each in place))


def _place(job: ImageJob) -> tuple[datetime, str]:
    """Where a job stands in the lists."""
    return job.created_at, job.job_id
