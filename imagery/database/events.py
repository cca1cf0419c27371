"""The log events of jobs: each is one row for /api/v1/logs and one line in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from imagery.contracts import Stage
from imagery.database.engine import Database
from imagery.database.journal import journal_of
from imagery.database.tables import ImageJob, JobEvent
from imagery.telemetry.logs import get_logger
from imagery.telemetry.redaction import redact

_log = get_logger("imagery.job")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(frozen=True)
class EventFilter:
    """Which events: ``level`` and above; ``text`` in the event's name, error or error code, in any case.

    ``owner_id`` None: the events of all owners.
    """

    owner_id: str | None = None
    job_id: str | None = None
    level: str | None = None
    stage: str | None = None
    text: str | None = None

    @property
    def searches(self) -> bool:
        """True if no index leads to the events, so that a query has to read others too."""
        return self.job_id is None and any((self.level, self.stage, self.text))


@dataclass(frozen=True)
class EventPage:
    """Events, oldest first. Everything up to ``position`` was searched; the next page begins after it.

    ``more``: there may be events beyond it that were not searched yet.
    """

    events: list[JobEvent]
    position: int
    more: bool


def record(
    session: Session,
    job: ImageJob,
    event: str,
    *,
    stage: Stage | None = None,
    level: str = "info",
    **data: Any,
) -> None:
    """Write ``event`` of ``job`` in the running transaction and to the log."""
    data = redact(data)
    journal_of(session).events.append(
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


def newest_event(database: Database) -> int:
    """The greatest event id, 0 if there is none. Every event up to it is visible already."""
    with database.read() as session:
        return _newest(session)


def events_after(database: Database, wanted: EventFilter, after: int, *, limit: int, scan: int) -> EventPage:
    """Up to ``limit`` events with ids beyond ``after``, for a search among the next ``scan`` ids.

    A search is done step by step, so that no query is long.
    """
    with database.read() as session:
        newest = _newest(session)
        end = min(newest, after + scan) if wanted.searches else newest
        if end <= after:
            return EventPage([], after, False)
        query = _query(wanted).where(col(JobEvent.id) > after, col(JobEvent.id) <= end)
        events = list(session.exec(query.order_by(col(JobEvent.id)).limit(limit)))
    if len(events) == limit:
        return EventPage(events, events[-1].id or end, True)
    return EventPage(events, end, end < newest)


def last_events(database: Database, wanted: EventFilter, *, limit: int, scan: int) -> EventPage:
    """The ``limit`` latest events, among the latest ``scan`` ids for a search."""
    with database.read() as session:
        newest = _newest(session)
        begin = newest - scan if wanted.searches else 0
        query = _query(wanted).where(col(JobEvent.id) > begin, col(JobEvent.id) <= newest)
        events = list(session.exec(query.order_by(col(JobEvent.id).desc()).limit(limit)))
    return EventPage(events[::-1], newest, False)


def _newest(session: Session) -> int:
    return session.exec(select(func.max(JobEvent.id))).one() or 0


def _query(wanted: EventFilter) -> Any:
    query = select(JobEvent)
    if wanted.owner_id is not None:
        query = query.where(JobEvent.owner_id == wanted.owner_id)
    if wanted.job_id is not None:
        query = query.where(JobEvent.job_id == wanted.job_id)
    if wanted.stage is not None:
        query = query.where(JobEvent.stage == wanted.stage)
    if wanted.level is not None:
        names = [name for name, number in _LEVELS.items() if number >= _LEVELS[wanted.level]]
        query = query.where(col(JobEvent.level).in_(names))
    if wanted.text:
        query = query.where(_holds(wanted.text))
    return query


def _holds(text: str) -> Any:
    data: Any = col(JobEvent.data)
    places = [col(JobEvent.event), *(data[key].as_string() for key in ("error", "error_code"))]
    return or_(*(place.icontains(text, autoescape=True) for place in places))
