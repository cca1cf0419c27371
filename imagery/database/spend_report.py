"""What was spent, by whom and on which day, as the ledger has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, true
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from imagery.database.journal import EVERYBODY
from imagery.database.money import UNDER_WAY, SpendState, to_usd
from imagery.database.tables import SpendDay, SpendEntry, User


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
class ModelTotals:
    """USD of the calls to one model for pictures of one size class: the one that came, else the ordered one.

    ``provider`` and ``model`` are empty for calls of versions that did not keep them.
    """

    provider: str
    model: str
    size: str
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
    """Sums of each owner, the highest first; users appear by name."""
    found = list(_sums(session, col(SpendEntry.owner_id), since, owner_id))
    names = dict(
        session.exec(
            select(User.user_id, User.name).where(col(User.user_id).in_([sums.name for sums in found]))
        ).all()
    )
    named = [LedgerTotals(**{**vars(sums), "name": names.get(sums.name, sums.name)}) for sums in found]
    return sorted(named, key=lambda sums: -(sums.settled_usd + sums.unknown_usd))


def by_model(session: Session, since: str, owner_id: str | None) -> list[ModelTotals]:
    """Sums of each model and size class from the day ``since``, the highest first."""
    groups = [
        func.coalesce(column, "")
        for column in (
            col(SpendEntry.provider),
            col(SpendEntry.model),
            func.coalesce(col(SpendEntry.delivered_size), col(SpendEntry.image_size)),
        )
    ]
    found = [
        ModelTotals(provider, model, size, *_totals(sums))
        for (provider, model, size), sums in _grouped(session, groups, since, owner_id)
    ]
    return sorted(found, key=lambda sums: -(sums.settled_usd + sums.unknown_usd))


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
        OutcomeTotals(state, entries, int(calls), to_usd(int(micro))) for state, entries, calls, micro in rows
    ]


def unknown_calls(session: Session, owner_id: str | None, limit: int) -> list[UnknownCall]:
    """Calls that an operator has to settle, the oldest first."""
    query = (
        select(SpendEntry)
        .where(SpendEntry.state == SpendState.UNKNOWN)
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
            to_usd(entry.price_micro_usd),
            entry.note,
        )
        for entry in session.exec(query)
    ]


def committed_usd(session: Session, day: str, owner_id: str | None) -> float:
    """USD taken from the day's budget so far: paid, reserved, under way or unknown."""
    found = session.get(SpendDay, (day, owner_id or EVERYBODY))
    return to_usd(found.micro_usd) if found else 0.0


def owned(column: Any, owner_id: str | None) -> ColumnElement[bool]:
    """The condition that a row belongs to the owner; None: any row."""
    condition: ColumnElement[bool] = true() if owner_id is None else column == owner_id
    return condition


def _sums(session: Session, group: Any, since: str, owner_id: str | None) -> Iterator[LedgerTotals]:
    for (name,), sums in _grouped(session, [group], since, owner_id):
        yield LedgerTotals(name, *_totals(sums))


def _grouped(
    session: Session, groups: list[Any], since: str, owner_id: str | None
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """By group: how many pictures, and micro USD settled, unknown and under way."""
    state, price = col(SpendEntry.state), col(SpendEntry.price_micro_usd)
    query = (
        columns(
            *groups,
            func.sum(case((state == SpendState.SETTLED, 1), else_=0)),
            func.sum(case((state == SpendState.SETTLED, price), else_=0)),
            func.sum(case((state == SpendState.UNKNOWN, price), else_=0)),
            func.sum(case((state.in_(UNDER_WAY), price), else_=0)),
        )
        .where(
            state != SpendState.RELEASED, col(SpendEntry.day) >= since, owned(SpendEntry.owner_id, owner_id)
        )
        .group_by(*groups)
        .order_by(*groups)
    )
    for row in session.execute(query):
        yield tuple(row[: len(groups)]), tuple(row[len(groups) :])


def _totals(sums: tuple[Any, ...]) -> tuple[int, float, float, float]:
    pictures, *money = (int(each) for each in sums)
    settled, unknown, under_way = map(to_usd, money)
    return pictures, settled, unknown, under_way
