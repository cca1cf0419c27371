"""What stands in SQL about the one job of a run, read past the app; and time that passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, RowMapping, Table, and_, select, text, update
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from imagery.contracts import JobState
from imagery.database.breakers import CircuitBreakers
from imagery.database.circuits import BreakerPolicy, GuardedDependency
from imagery.database.engine import Database, make_engine
from imagery.database.tables import CallbackDelivery, ImageJob, SpendEntry, StageRun

_GLANCE = text(
    "SELECT job_id, state, stage, run, error_code, instance_id,"
    " (SELECT count(*) FROM callback_delivery c WHERE c.job_id = j.job_id AND c.state = 'pending'),"
    " (SELECT count(*) FROM spend_entry s WHERE s.job_id = j.job_id AND s.state IN ('reserved', 'sent'))"
    " FROM image_job j"
)
# longer than the ledger and a callback's hold wait for an answer that will not come
LONG = timedelta(minutes=2)


@dataclass(frozen=True)
class Record:
    """Everything about a job."""

    job: ImageJob
    stages: list[StageRun]
    spend: list[SpendEntry]
    callbacks: list[CallbackDelivery]

    @property
    def ended(self) -> bool:
        """True when the job is terminal and no callback is due any more."""
        return JobState(self.job.state).is_terminal and all(
            each.state != "pending" for each in self.callbacks
        )


@dataclass(frozen=True)
class Glance:
    """What a run looks at again and again. ``callbacks_due``: neither delivered nor given up;
    ``open_spend``: paid calls of which the ledger does not know yet how they ended.
    """

    job_id: str
    state: JobState
    stage: str | None
    run: int
    error_code: str | None
    instance_id: str
    callbacks_due: int
    open_spend: int

    @property
    def ended(self) -> bool:
        """True when the job is terminal and nobody waits to be told."""
        return self.state.is_terminal and not self.callbacks_due


class Records:
    """The database of one run."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = make_engine(url)
        self._reader = self.engine.execution_options(sqlite_begin="DEFERRED")

    def all(self) -> list[Record]:
        """Every job with what belongs to it."""
        with Session(self._reader, expire_on_commit=False) as session:
            jobs = list(session.exec(select_rows(ImageJob).order_by(col(ImageJob.job_id))))
            return [
                Record(
                    job,
                    list(session.exec(select_rows(StageRun).where(StageRun.job_id == job.job_id))),
                    list(session.exec(select_rows(SpendEntry).where(SpendEntry.job_id == job.job_id))),
                    list(
                        session.exec(
                            select_rows(CallbackDelivery).where(CallbackDelivery.job_id == job.job_id)
                        )
                    ),
                )
                for job in jobs
            ]

    def glance(self) -> Glance | None:
        """The only job, None before there is one. Raises ``ValueError`` when there are several."""
        with self._reader.connect() as connection:
            rows = connection.execute(_GLANCE).all()
        if len(rows) > 1:
            raise ValueError(f"{len(rows)} jobs where one was asked for")
        return Glance(rows[0][0], JobState(rows[0][1]), *rows[0][2:]) if rows else None

    def one(self) -> Record | None:
        """The only job, None before there is one. Raises ``ValueError`` when there are several."""
        found = self.all()
        if len(found) > 1:
            raise ValueError(f"{len(found)} jobs where one was asked for")
        return found[0] if found else None

    def hold_paid_calls(self, code: str, wait_s: float) -> None:
        """Leave the circuit of the image model as another job's call left it: nobody may try for a while."""
        policy = BreakerPolicy(failures=1, open_s=wait_s, cap_s=wait_s, read_s=0, jitter=0)
        circuits = CircuitBreakers(Database(self.engine), policy)
        circuits.hold(GuardedDependency.NANO_BANANA, None, code, wait_s)

    def let_time_pass(self, span: timedelta = LONG) -> None:
        """Make all that is stored so much older, as if the machine had been off for ``span``."""
        with self.engine.begin() as connection:
            for table in SQLModel.metadata.sorted_tables:
                for key, values in _older(connection.execute(select(table)).mappings(), table, span):
                    connection.execute(update(table).where(key).values(values))

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def _older(
    rows: Iterable[RowMapping], table: Table, span: timedelta
) -> Iterator[tuple[ColumnElement[bool], dict[str, datetime]]]:
    for row in rows:
        times = {name: value - span for name, value in row.items() if isinstance(value, datetime)}
        if times:
            yield and_(*(column == row[column.name] for column in table.primary_key.columns)), times
