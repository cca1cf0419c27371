"""Log events and counts of a write transaction, written as its very last statements.

On PostgreSQL an id is drawn before its transaction commits, so a smaller id may become visible after a
greater one, and a reader that has gone past it never sees it. Here events and counts are collected in
the session and written just before the commit under one lock, which the server gives up only when the
transaction is visible: the order of the ids is the order in which they become visible. Being the last lock
that a transaction takes, it can't be part of a deadlock, and it covers the rows of ``metric_count`` that
all writers share. SQLite has one writer at a time anyway.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import text
from sqlmodel import Session

from imagery.database.tables import JobEvent, MetricCount
from imagery.database.upsert import insert

EVERYBODY = "*"
_INFO = "journal"


@dataclass
class Journal:
    """What is still to be written; ``counts`` by owner, metric and label."""

    events: list[JobEvent] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def journal_of(session: Session) -> Journal:
    """The session's journal, empty at first."""
    return cast("Journal", session.info.setdefault(_INFO, Journal()))


def write_journal(session: Session, lock_wait_s: float) -> None:
    """Write what the session has collected; the caller commits next and does nothing in between.

    Raises ``OperationalError`` when another transaction holds the lock for longer than ``lock_wait_s``.
    """
    journal: Journal | None = session.info.pop(_INFO, None)
    if journal is None:
        return
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        _write_locked(session, journal, lock_wait_s)
        return
    session.add_all(journal.events)
    session.flush()
    _add(session, _rows(journal.counts))


def lock_key() -> int:
    """The key of the lock; this application has no other advisory lock."""
    return 0x696D6167657279  # "imagery"


# One statement, because every other writer waits for its way to the server and back. An id is drawn when
# its row comes out of the join with the lock, and in the order of n. A process that is cut off while it
# holds the lock must not stop all others until TCP notices: hence the second time limit.
_WRITE = text(
    """
    WITH locked AS MATERIALIZED (
        SELECT set_config('lock_timeout', :wait, true),
               set_config('idle_in_transaction_session_timeout', :wait, true),
               pg_advisory_xact_lock(:key)
    ), written AS (
        INSERT INTO job_event (job_id, owner_id, at, level, event, stage, data)
        SELECT e.job_id, e.owner_id, e.at, e.level, e.event, e.stage, e.data
        FROM locked, json_to_recordset(CAST(:events AS json)) AS e(
            n integer, job_id text, owner_id text, at timestamptz,
            level text, event text, stage text, data json
        )
        ORDER BY e.n
    )
    INSERT INTO metric_count AS known (owner_id, name, label, value)
    SELECT c.owner_id, c.name, c.label, c.value
    FROM locked, json_to_recordset(CAST(:counts AS json)) AS c(
        owner_id text, name text, label text, value bigint
    )
    ON CONFLICT (owner_id, name, label) DO UPDATE SET value = known.value + excluded.value
    """
)


def _write_locked(session: Session, journal: Journal, lock_wait_s: float) -> None:
    written = [
        {
            "n": number,
            "job_id": event.job_id,
            "owner_id": event.owner_id,
            "at": event.at.isoformat(),
            "level": event.level,
            "event": event.event,
            "stage": event.stage,
            "data": event.data,
        }
        for number, event in enumerate(journal.events)
    ]
    given = {
        "wait": f"{round(lock_wait_s * 1000)}ms",
        "key": lock_key(),
        "events": json.dumps(written),
        "counts": json.dumps(_rows(journal.counts)),
    }
    session.execute(_WRITE, given)


def _rows(counts: Counter[tuple[str, str, str]]) -> list[dict[str, str | int]]:
    """One row for each counter of an owner and one for the total."""
    total = Counter(counts)
    for (_, name, label), value in counts.items():
        total[EVERYBODY, name, label] += value
    return [
        {"owner_id": owner_id, "name": name, "label": label, "value": value}
        for (owner_id, name, label), value in sorted(total.items())
    ]


def _add(session: Session, rows: list[dict[str, str | int]]) -> None:
    if not rows:
        return
    query = insert(session, MetricCount).values(rows)
    session.execute(
        query.on_conflict_do_update(
            index_elements=["owner_id", "name", "label"],
            set_={"value": MetricCount.value + query.excluded.value},
        )
    )
