"""The paid calls one by one, for a table of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from imagery.database.money import SpendState
from imagery.database.spend_report import owned
from imagery.database.tables import SpendEntry, User


@dataclass(frozen=True)
class PaidCall:
    """One entry of the ledger whose request went out, with its owner's name.

    ``micro_usd``: what it cost, or may cost while that is open; 0 for a call that was not charged.
    """

    id: int
    reserved_at: datetime
    job_id: str
    owner: str
    provider: str
    model: str
    ordered_size: str
    delivered_size: str
    state: SpendState
    micro_usd: int
    response_id: str


def paid_calls(
    session: Session, since: str, owner_id: str | None, *, after: int, limit: int
) -> list[PaidCall]:
    """Up to ``limit`` calls from the day ``since`` on with ids beyond ``after``, in their order."""
    query = (
        select(SpendEntry, User.name)
        .join(User, col(User.user_id) == SpendEntry.owner_id, isouter=True)
        .where(col(SpendEntry.calls) > 0, col(SpendEntry.day) >= since, col(SpendEntry.id) > after)
        .where(owned(SpendEntry.owner_id, owner_id))
        .order_by(col(SpendEntry.id))
        .limit(limit)
    )
    return [_call(entry, name) for entry, name in session.exec(query)]


def _call(entry: SpendEntry, name: str | None) -> PaidCall:
    state = SpendState(entry.state)
    return PaidCall(
        id=entry.id or 0,
        reserved_at=entry.reserved_at,
        job_id=entry.job_id,
        owner=name or entry.owner_id,
        provider=entry.provider or "",
        model=entry.answered_model or entry.model or "",
        ordered_size=entry.image_size or "",
        delivered_size=entry.delivered_size or "",
        state=state,
        micro_usd=0 if state is SpendState.RELEASED else entry.price_micro_usd,
        response_id=entry.response_id or "",
    )
