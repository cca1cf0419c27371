"""Reservations by many processes against one budget: exactly the budget is granted."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

from sqlmodel import func, select

from drills.races.processes import at_once, database_of
from imagery.contracts import JobState, Stage
from imagery.database.budget import BudgetExhaustedError, Budgets
from imagery.database.ledger import Ledger
from imagery.database.money import SpendState
from imagery.database.spend_report import committed_usd
from imagery.database.tables import ImageJob, SpendEntry, utc_day, utc_now

PRICE_USD = 0.08


def run(url: str, *, processes: int, reservations: int, budget: int) -> dict[str, Any]:
    """``reservations`` jobs, split over ``processes``, want a picture; the budget is for ``budget``."""
    ids = [str(uuid.uuid4()) for _ in range(reservations)]
    _make_jobs(url, ids)
    started = time.monotonic()
    shares = [(url, ids[number::processes], budget) for number in range(processes)]
    granted = sum(at_once(_reserve, shares))
    wall_s = time.monotonic() - started
    database = database_of(url)
    with database.read() as session:
        reserved = select(func.count()).where(SpendEntry.state == SpendState.RESERVED)
        entries = session.exec(reserved).one()
        committed = committed_usd(session, utc_day(), None)
    database.engine.dispose()
    return {
        "processes": processes,
        "reservations": reservations,
        "budget": budget,
        "granted": granted,
        "entries": entries,
        "committed_usd": round(committed, 6),
        "wall_s": round(wall_s, 1),
    }


def _reserve(url: str, ids: list[str], budget: int) -> int:
    database = database_of(url)
    ledger = Ledger(database, timedelta(minutes=5), Budgets(budget * PRICE_USD, 0.0))
    granted = 0
    for job_id in ids:
        try:
            ledger.reserve(job_id, 1, Stage.NANO_BANANA, PRICE_USD)
        except BudgetExhaustedError:
            continue
        granted += 1
    database.engine.dispose()
    return granted


def _make_jobs(url: str, ids: list[str]) -> None:
    database = database_of(url)
    with database.write() as session:
        session.add_all(
            ImageJob(
                job_id=job_id,
                owner_id="race",
                source_container="uploads",
                source_name="x",
                options={},
                state=JobState.RUNNING,
                instance_id=f"{job_id}-1",
                deadline=utc_now() + timedelta(hours=1),
            )
            for job_id in ids
        )
    database.engine.dispose()
