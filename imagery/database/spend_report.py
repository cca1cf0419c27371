"""What was spent, by whom, on which day, and what was not spent because something ended before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, true
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage
from imagery.database.budget import EVERYBODY, MICRO
from imagery.database.tables import ImageJob, SpendDay, SpendEntry, StageRun, User

BUDGET_CODES = ("budget_usd_per_day", "quota_usd_per_day")
_UNPAID = (JobState.FAILED, JobState.REJECTED, JobState.CANCELLED)
_SETTLED, _UNKNOWN, _RELEASED, _UNDER_WAY = "settled", "unknown", "released", ("reserved", "sent")


@dataclass(frozen=True)
class LedgerTotals:
    """USD of the calls of one group by what became of them; ``pictures`` counts the settled ones.

    ``open_usd`` is reserved or under way, ``unknown_usd`` may have been charged.
    """

    name: str
    pictures: int
    settled_usd: float
    unknown_usd: float
    open_usd: float


@dataclass(frozen=True)
class OutcomeTotals:
    """Ledger entries in one state, with all calls that were made for them."""

    state: str
    entries: int
    calls: int
    usd: float


@dataclass(frozen=True)
class AvoidedCost:
    """Calls that were not made, by reason, and what they would have cost."""

    reason: str
    pictures: int
    usd: float


@dataclass(frozen=True)
class UnknownCall:
    """A call that may have been charged; an operator has to look at the bill."""

    job_id: str
    owner_id: str
    run: int
    sent_at: datetime | None
    usd: float
    note: str | None


def by_day(session: Session, since: str, owner_id: str | None) -> list[LedgerTotals]:
    """Sums of each UTC day from ``since`` (``YYYY-MM-DD``), the newest first."""
    return list(_sums(session, col(SpendEntry.day), since, owner_id))[::-1]


def by_user(session: Session, since: str, owner_id: str | None) -> list[LedgerTotals]:
    """Sums of each owner, under its name where it is a user, who spent most first."""
    found = list(_sums(session, col(SpendEntry.owner_id), since, owner_id))
    names = dict(
        session.exec(
            select(User.user_id, User.name).where(col(User.user_id).in_([sums.name for sums in found]))
        ).all()
    )
    named = [LedgerTotals(**{**vars(sums), "name": names.get(sums.name, sums.name)}) for sums in found]
    return sorted(named, key=lambda sums: -(sums.settled_usd + sums.unknown_usd))


def outcomes(session: Session, owner_id: str | None) -> list[OutcomeTotals]:
    """The whole ledger by state."""
    rows = session.execute(
        columns(
            col(SpendEntry.state),
            func.count(),
            func.sum(col(SpendEntry.calls)),
            func.sum(col(SpendEntry.price_micro_usd)),
        )
        .where(owned(SpendEntry.owner_id, owner_id))
        .group_by(col(SpendEntry.state))
    )
    return [
        OutcomeTotals(state, entries, int(calls), int(micro) / MICRO) for state, entries, calls, micro in rows
    ]


def avoided(session: Session, price_usd: float, owner_id: str | None) -> list[AvoidedCost]:
    """What was not paid: the job ended before, the budget was used up, the picture was there already."""
    is_budget = col(ImageJob.error_code).in_(BUDGET_CODES)
    ended_before = col(ImageJob.stage).is_distinct_from(Stage.NANO_BANANA.value)
    reason = case((is_budget, "budget"), else_=func.lower(col(ImageJob.state)))
    jobs = session.execute(
        columns(reason, func.count())
        .where(col(ImageJob.state).in_(_UNPAID), is_budget | ended_before)
        .where(owned(ImageJob.owner_id, owner_id))
        .group_by(reason)
    )
    counts = {str(name): int(count) for name, count in jobs}
    hits = cache_hits(session, owner_id).get(Stage.NANO_BANANA.value, 0)
    counts |= {"cache_hit": hits} if hits else {}
    return [AvoidedCost(name, count, count * price_usd) for name, count in sorted(counts.items())]


def cache_hits(session: Session, owner_id: str | None) -> dict[str, int]:
    """How often each stage's result was taken over from an earlier job."""
    query = select(col(StageRun.stage), func.count()).where(col(StageRun.cached).is_(True))
    if owner_id is not None:
        query = query.where(
            col(StageRun.job_id).in_(select(ImageJob.job_id).where(ImageJob.owner_id == owner_id))
        )
    return {stage: int(count) for stage, count in session.execute(query.group_by(col(StageRun.stage)))}


def unknown_calls(session: Session, owner_id: str | None, limit: int) -> list[UnknownCall]:
    """Calls that an operator has to settle, the oldest first."""
    query = (
        select(SpendEntry)
        .where(SpendEntry.state == _UNKNOWN)
        .where(owned(SpendEntry.owner_id, owner_id))
        .order_by(col(SpendEntry.sent_at), col(SpendEntry.id))
        .limit(limit)
    )
    return [
        UnknownCall(
            entry.job_id,
            entry.owner_id,
            entry.attempt_group,
            entry.sent_at,
            entry.price_micro_usd / MICRO,
            entry.note,
        )
        for entry in session.exec(query)
    ]


def committed_usd(session: Session, day: str, owner_id: str | None) -> float:
    """What the day's budget has given so far: paid, reserved, under way or unknown."""
    found = session.get(SpendDay, (day, owner_id or EVERYBODY))
    return found.micro_usd / MICRO if found else 0.0


def owned(column: Any, owner_id: str | None) -> ColumnElement[bool]:
    """The condition that a row is the owner's; None: everybody's."""
    condition: ColumnElement[bool] = true() if owner_id is None else column == owner_id
    return condition


def _sums(session: Session, group: Any, since: str, owner_id: str | None) -> Iterator[LedgerTotals]:
    state, price = col(SpendEntry.state), col(SpendEntry.price_micro_usd)
    query = (
        columns(
            group,
            func.sum(case((state == _SETTLED, 1), else_=0)),
            func.sum(case((state == _SETTLED, price), else_=0)),
            func.sum(case((state == _UNKNOWN, price), else_=0)),
            func.sum(case((state.in_(_UNDER_WAY), price), else_=0)),
        )
        .where(state != _RELEASED, col(SpendEntry.day) >= since, owned(SpendEntry.owner_id, owner_id))
        .group_by(group)
        .order_by(group)
    )
    for name, pictures, settled, unknown, under_way in session.execute(query):
        yield LedgerTotals(
            name, int(pictures), int(settled) / MICRO, int(unknown) / MICRO, int(under_way) / MICRO
        )
