"""The budgets of a UTC day. A reservation is one conditional update, so that no race can exceed them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, select

from imagery.contracts import Stage
from imagery.database.events import record
from imagery.database.journal import EVERYBODY
from imagery.database.money import SpendState, to_micro, to_usd, usd_per_day
from imagery.database.tables import ImageJob, SpendDay, SpendEntry, User, utc_now
from imagery.database.upsert import insert


class BudgetExhaustedError(Exception):
    """The day's budget has no room for one more call. ``retry_after_s``: until the next day begins."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        now = utc_now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.retry_after_s = (midnight - now).total_seconds()


@dataclass(frozen=True)
class Budgets:
    """USD a day: for all users together, and for a user without a limit of their own."""

    usd_per_day: float
    user_usd_per_day: float

    def charge(self, session: Session, entry: SpendEntry) -> None:
        """Take the entry's price from its day's budgets. Raises ``BudgetExhaustedError``.

        After that error the transaction must not be committed: one budget may be charged already.
        """
        if not _take(session, entry, EVERYBODY, self.usd_per_day):
            message = (
                f"The budget of ${self.usd_per_day:.2f} a day for all jobs is used up. "
                "It resets at 00:00 UTC; an operator can raise BUDGET_USD_PER_DAY."
            )
            raise BudgetExhaustedError("budget_usd_per_day", message)
        user = session.get(User, entry.owner_id)
        limit = usd_per_day(user, self.user_usd_per_day)
        if user is not None and not _take(session, entry, entry.owner_id, limit):
            message = f"Your budget of ${limit:.2f} a day is spent or reserved. It resets at 00:00 UTC."
            raise BudgetExhaustedError("quota_usd_per_day", message)


def refund(session: Session, entry: SpendEntry) -> None:
    """Give the entry's price back to the budgets of its day."""
    _add(session, entry, -entry.price_micro_usd)


def adjust(session: Session, entry: SpendEntry, micro_usd: int) -> None:
    """Move the budgets of the entry's day by a difference of its price, with room or without."""
    _add(session, entry, micro_usd)


def charge_again(session: Session, entry: SpendEntry) -> None:
    """Take a price that was given back from the budgets of its day, with room or without: it is spent."""
    _add(session, entry, entry.price_micro_usd)


def _add(session: Session, entry: SpendEntry, micro_usd: int) -> None:
    for scope in (EVERYBODY, entry.owner_id):
        session.execute(
            update(SpendDay)
            .where(col(SpendDay.day) == entry.day, col(SpendDay.scope) == scope)
            .values(micro_usd=SpendDay.micro_usd + micro_usd)
        )


def release_reserved(session: Session, job: ImageJob) -> None:
    """Release what an ending job has reserved and not sent. The caller has locked the job's row."""
    query = select(SpendEntry).where(SpendEntry.job_id == job.job_id, SpendEntry.state == SpendState.RESERVED)
    for entry in session.exec(query):
        entry.state, entry.closed_at = SpendState.RELEASED, utc_now()
        entry.note = "the job ended before the call"
        refund(session, entry)
        record(
            session,
            job,
            "spend_released",
            stage=Stage(entry.stage),
            price_usd=to_usd(entry.price_micro_usd),
            note=entry.note,
        )


def _take(session: Session, entry: SpendEntry, scope: str, limit_usd: float) -> bool:
    most = to_micro(limit_usd) - entry.price_micro_usd
    if most < 0:
        return False
    day = insert(session, SpendDay).values(day=entry.day, scope=scope, micro_usd=0)
    session.execute(day.on_conflict_do_nothing())
    taken: CursorResult[Any] = session.execute(  # type: ignore[assignment]  # an update has a row count
        update(SpendDay)
        .where(col(SpendDay.day) == entry.day, col(SpendDay.scope) == scope)
        .where(col(SpendDay.micro_usd) <= most)
        .values(micro_usd=SpendDay.micro_usd + entry.price_micro_usd)
    )
    return taken.rowcount == 1
