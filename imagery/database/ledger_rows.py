"""The rows of the ledger of one job, inside a transaction of the caller's."""

from __future__ import annotations

from sqlalchemy import exists
from sqlmodel import Session, and_, col, or_, select

from imagery.contracts import Stage, StageState
from imagery.database.budget import adjust
from imagery.database.counters import Metric, count
from imagery.database.money import UNACCOUNTED, UNDER_WAY, SpendState, to_usd
from imagery.database.tables import SpendEntry, StageRun


def count_outcome(session: Session, entry: SpendEntry, state: SpendState) -> None:
    """Count the outcome of a call. A reservation that is released unsent was no call."""
    if entry.state == SpendState.RESERVED:
        return
    count(session, entry.owner_id, Metric.CALLS, state.value)
    if state is SpendState.SETTLED:
        count(session, entry.owner_id, Metric.SPEND, value=entry.price_micro_usd)


def take_due(session: Session, entry: SpendEntry) -> None:
    """Give the entry the price of what came, where that is known, and move its day's budgets with it."""
    if entry.due_micro_usd is not None and entry.due_micro_usd != entry.price_micro_usd:
        adjust(session, entry, entry.due_micro_usd - entry.price_micro_usd)
        entry.price_micro_usd = entry.due_micro_usd


def entries_of(session: Session, job_id: str, stage: Stage) -> list[SpendEntry]:
    """The entries of a job's stage, in the order of their runs."""
    query = select(SpendEntry).where(SpendEntry.job_id == job_id, SpendEntry.stage == stage.value)
    return list(session.exec(query.order_by(col(SpendEntry.attempt_group))))


def blocks(entry: SpendEntry, run: int) -> bool:
    """True if the entry forbids ``run`` a call of its own: it is being paid, was paid, or may have been."""
    if entry.result_lost and entry.attempt_group < run:
        return False
    return entry.state != SpendState.RELEASED


def may_be_answered(entry: SpendEntry, run: int) -> bool:
    """True if the call of the entry went out, and its picture was not rejected in an earlier run.

    One that an operator has closed counts too: its answer may have been stored after all.
    """
    if entry.result_lost and entry.resolved_by is None and entry.attempt_group < run:
        return False
    return entry.state in {*UNACCOUNTED, SpendState.SETTLED} or entry.resolved_by is not None


def is_being_made(session: Session, result_key: str, job_id: str) -> bool:
    """True while another job pays for the picture, or has paid and is about to deliver it."""
    at_work = exists().where(
        col(StageRun.job_id) == SpendEntry.job_id,
        col(StageRun.stage) == SpendEntry.stage,
        col(StageRun.state).in_((StageState.RUNNING, StageState.WAITING)),
    )
    is_paid = and_(
        col(SpendEntry.state) == SpendState.SETTLED, col(SpendEntry.result_lost).is_(False), at_work
    )
    query = select(SpendEntry.id).where(
        SpendEntry.result_key == result_key,
        SpendEntry.job_id != job_id,
        or_(col(SpendEntry.state).in_(UNDER_WAY), is_paid),
    )
    return session.exec(query).first() is not None


def settled_usd(entries: list[SpendEntry]) -> float:
    """USD of the settled ones."""
    return to_usd(sum(each.price_micro_usd for each in entries if each.state == SpendState.SETTLED))


def load_entry(session: Session, entry_id: int) -> SpendEntry:
    """An entry that exists. Raises ``LookupError``."""
    entry = session.get(SpendEntry, entry_id)
    if entry is None:
        raise LookupError(f"there is no spend entry {entry_id}")
    return entry


def id_of(entry: SpendEntry) -> int:
    """The id of a stored entry. Raises ``LookupError``."""
    if entry.id is None:
        raise LookupError("the spend entry was not stored")
    return entry.id
