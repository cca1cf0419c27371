"""What a write transaction tells of itself: log events and counts, written as its very last statements.

On PostgreSQL an id is drawn before its transaction commits, so a smaller id may become visible after a
greater one, and a reader that has gone past it never sees it. Here events and counts are collected in
the session and written just before the commit under one lock, which the server gives up only when the
transaction is visible: the order of the ids is the order in which they become visible. Being the last lock
that a transaction takes, it can't be part of a deadlock, and it covers the rows of ``metric_count`` that
all writers share. SQLite has one writer at a time anyway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from imagery.database.tables import JobEvent, MetricCount

EVERYBODY = "*"
_LOCK_KEY = 0x696D6167657279  # "imagery": no other lock of this application is an advisory one
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
        take_lock(session, lock_wait_s)
    session.add_all(journal.events)
    session.flush()
    _add(session, journal.counts)


def take_lock(session: Session, lock_wait_s: float) -> None:
    """Wait for the lock that is held until the transaction has become visible."""
    # a process that is cut off while it holds the lock must not stop all others until TCP notices
    wait = f"{round(lock_wait_s * 1000)}ms"
    session.execute(
        columns(
            func.set_config("lock_timeout", wait, True),
            func.set_config("idle_in_transaction_session_timeout", wait, True),
            func.pg_advisory_xact_lock(_LOCK_KEY),
        )
    )


def _add(session: Session, counts: Counter[tuple[str, str, str]]) -> None:
    if not counts:
        return
    for (_, name, label), value in list(counts.items()):
        counts[EVERYBODY, name, label] += value
    rows = [
        {"owner_id": owner_id, "name": name, "label": label, "value": value}
        for (owner_id, name, label), value in sorted(counts.items())
    ]
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    query = insert(MetricCount).values(rows)
    session.execute(
        query.on_conflict_do_update(
            index_elements=["owner_id", "name", "label"],
            set_={"value": MetricCount.value + query.excluded.value},
        )
    )
