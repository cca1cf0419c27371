"""Jobs as they are shown: with their stages and callbacks, one or a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select

from imagery.contracts import JobState
from imagery.database.callbacks import latest
from imagery.database.job_rows import stages_of
from imagery.database.tables import CallbackDelivery, ImageJob, StageRun


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; ``owner_id`` None: those of all owners. ``source``: container and name of a blob."""

    owner_id: str | None
    states: list[JobState] | None = None
    batch_id: str | None = None
    source: tuple[str, str] | None = None


@dataclass(frozen=True)
class JobView:
    """A job with its stages in order, and its newest callback."""

    job: ImageJob
    stages: list[StageRun]
    callback: CallbackDelivery | None = None


@dataclass(frozen=True)
class JobViewPage:
    """Jobs, newest first, and the cursor of the next page (None at the end)."""

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
    """One page of jobs, newest first."""
    query = select(ImageJob).order_by(col(ImageJob.created_at).desc(), col(ImageJob.job_id).desc())
    if wanted.owner_id is not None:
        query = query.where(ImageJob.owner_id == wanted.owner_id)
    if wanted.states:
        query = query.where(col(ImageJob.state).in_(wanted.states))
    if wanted.batch_id is not None:
        query = query.where(ImageJob.batch_id == wanted.batch_id)
    if wanted.source is not None:
        container, name = wanted.source
        query = query.where(ImageJob.source_container == container, ImageJob.source_name == name)
    if cursor is not None:
        at, job_id = cursor
        query = query.where(
            or_(
                col(ImageJob.created_at) < at,
                (col(ImageJob.created_at) == at) & (col(ImageJob.job_id) < job_id),
            )
        )
    found = list(session.exec(query.limit(limit + 1)))
    jobs = found[:limit]
    ids = [job.job_id for job in jobs]
    stages, callbacks = stages_of(session, ids), latest(session, ids)
    views = [JobView(job, stages.get(job.job_id, []), callbacks.get(job.job_id)) for job in jobs]
    more = len(found) > limit
    return JobViewPage(views, (jobs[-1].created_at, jobs[-1].job_id) if more else None)
