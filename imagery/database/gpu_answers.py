"""What the GPU service last said of itself: read in place of asking, because what is asked never sleeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from imagery.contracts import GpuHealth
from imagery.database.circuits import GuardedDependency
from imagery.database.engine import Database
from imagery.database.tables import GpuAnswer, utc_now
from imagery.database.upsert import insert

_SERVICE = GuardedDependency.GPU.value


@dataclass(frozen=True)
class LastAnswer:
    """The health that came with the last answer, and when that was."""

    answered_at: datetime
    health: GpuHealth

    @property
    def age_s(self) -> float:
        """Seconds since the answer; 0 where another instance's clock is ahead."""
        return max(0.0, (utc_now() - self.answered_at).total_seconds())


class GpuAnswers:
    """The repository of the last answer: one row, whichever replica it came from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, health: GpuHealth) -> None:
        """Keep what the service has just said, in place of what it said before."""
        said = {"answered_at": utc_now(), "health": health.to_json()}
        with self._database.write() as session:
            query = insert(session, GpuAnswer).values(service=_SERVICE, **said)
            session.execute(query.on_conflict_do_update(index_elements=["service"], set_=said))

    def last(self) -> LastAnswer | None:
        """The last answer. Returns None if there was none yet."""
        with self._database.read() as session:
            return last_answer(session)


def last_answer(session: Session) -> LastAnswer | None:
    """The last answer, for callers that have a session. Returns None if there was none yet."""
    row = session.get(GpuAnswer, _SERVICE)
    return LastAnswer(row.answered_at, GpuHealth.from_json(row.health)) if row else None
