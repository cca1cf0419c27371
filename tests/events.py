"""The log events of a job, for tests."""

from __future__ import annotations

from imagery.database.engine import Database
from imagery.database.events import EventFilter, events_after
from imagery.database.tables import JobEvent


def events_of(database: Database, job_id: str, *, after: int = 0, level: str | None = None) -> list[JobEvent]:
    """The first hundred of them."""
    wanted = EventFilter(job_id=job_id, level=level)
    return events_after(database, wanted, after, limit=100, scan=1000).events
