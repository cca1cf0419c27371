"""The rows of one job and its stages, inside a transaction of the caller's."""

from __future__ import annotations

from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage, StageState
from imagery.database.counters import Metric, count
from imagery.database.tables import ImageJob, StageRun, utc_now

_ORDER = {stage.value: number for number, stage in enumerate(Stage)}


def lock_job(session: Session, job_id: str) -> ImageJob | None:
    """Read the job and lock it against other writers until the transaction ends."""
    return session.exec(select(ImageJob).where(ImageJob.job_id == job_id).with_for_update()).first()


def lock_jobs(session: Session, job_ids: list[str]) -> list[ImageJob]:
    """Lock many; every writer locks in the order of the ids, so that no two can wait for each other."""
    query = select(ImageJob).where(col(ImageJob.job_id).in_(job_ids)).order_by(col(ImageJob.job_id))
    return list(session.exec(query.with_for_update()))


def enter(session: Session, job: ImageJob, state: JobState) -> None:
    """Put a locked job into ``state`` and count that it entered it."""
    if job.state != state:
        job.state = state
        count(session, job.owner_id, Metric.JOBS, state.value)


def stage_row(session: Session, job_id: str, stage: Stage) -> StageRun | None:
    """The row of a job's stage. Returns None if the stage has never begun."""
    return session.exec(
        select(StageRun).where(StageRun.job_id == job_id, StageRun.stage == stage.value)
    ).first()


def has_begun(job: ImageJob) -> bool:
    """False for a job without rows of stages: none of them has ever begun."""
    return job.stage is not None or job.run > 1


def stages_of(session: Session, job_ids: list[str]) -> dict[str, list[StageRun]]:
    """The stages of each job that have begun, in order."""
    rows: dict[str, list[StageRun]] = {}
    for row in session.exec(select(StageRun).where(col(StageRun.job_id).in_(job_ids))):
        rows.setdefault(row.job_id, []).append(row)
    for found in rows.values():
        found.sort(key=lambda row: _ORDER[row.stage])
    return rows


def close_stage(row: StageRun, state: JobState, code: str | None, message: str | None) -> None:
    """End a stage because its job ends in ``state``; one that has succeeded stays as it is."""
    if row.state == StageState.SUCCEEDED:
        return
    row.state = _closed(StageState(row.state), state)
    row.error_code, row.error_message = code, message
    row.waiting_until = None
    row.finished_at = utc_now()


def _closed(stage: StageState, job: JobState) -> StageState:
    if job is JobState.CANCELLED:
        return StageState.CANCELLED
    is_rejected = job is JobState.REJECTED or stage is StageState.REJECTED
    return StageState.REJECTED if is_rejected else StageState.FAILED
