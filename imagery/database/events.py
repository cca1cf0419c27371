"""The journal of a job: each event is one row for /api/v1/logs and one line in the log."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from imagery.contracts import Stage
from imagery.database.engine import Database
from imagery.database.tables import ImageJob, JobEvent
from imagery.telemetry.logs import get_logger
from imagery.telemetry.redaction import redact

_log = get_logger("imagery.job")
# the ids are 32 bit integers in PostgreSQL
_MAX_ID = 2**31 - 1
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def record(
    session: Session,
    job: ImageJob,
    event: str,
    *,
    stage: Stage | None = None,
    level: str = "info",
    **data: Any,
) -> None:
    """Write ``event`` of ``job`` into the running transaction and into the log."""
    data = redact(data)
    session.add(
        JobEvent(
            job_id=job.job_id,
            owner_id=job.owner_id,
            level=level,
            event=event,
            stage=stage.value if stage else None,
            data=data,
        )
    )
    _log.log(_LEVELS[level], event, job_id=job.job_id, stage=stage.value if stage else None, **data)


def events_after(
    database: Database,
    after: int,
    limit: int,
    *,
    owner_id: str | None = None,
    job_id: str | None = None,
    level: str | None = None,
    stage: str | None = None,
) -> list[JobEvent]:
    """Up to ``limit`` events with an id beyond ``after``, oldest first, ``level`` and above.

    ``owner_id`` None means everybody's.
    """
    query = (
        select(JobEvent).where(col(JobEvent.id) > min(after, _MAX_ID)).order_by(col(JobEvent.id)).limit(limit)
    )
    if owner_id is not None:
        query = query.where(JobEvent.owner_id == owner_id)
    if job_id is not None:
        query = query.where(JobEvent.job_id == job_id)
    if stage is not None:
        query = query.where(JobEvent.stage == stage)
    if level is not None:
        wanted = [name for name, number in _LEVELS.items() if number >= _LEVELS[level]]
        query = query.where(col(JobEvent.level).in_(wanted))
    with database.read() as session:
        return list(session.exec(query))
