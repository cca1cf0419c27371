"""What was not paid, by one rule: a run of a job spares its paid call when it ends without one.

A run that ends rejected, failed or cancelled before its paid call has spared it, and so has one that takes
the picture of an earlier job over. A later run of the same job that does pay takes nothing back: it is a
call of its own, and a counter may only grow. A job that has paid, or may have paid, has spared nothing with
its later runs. ``/metrics`` and ``GET /spend`` read the same counters, so they can't disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, select

from imagery.contracts import JobState, Stage
from imagery.database.counters import Metric, count, read_counts
from imagery.database.money import SpendState, to_micro, to_usd
from imagery.database.tables import ImageJob, SpendEntry

BUDGET, CACHE_HIT = "budget", "cache_hit"
_BUDGET_CODES = ("budget_usd_per_day", "quota_usd_per_day")


@dataclass(frozen=True)
class AvoidedCost:
    """Calls that were not made, by reason, and what they would have cost at the time."""

    reason: str
    pictures: int
    usd: float


def count_unpaid(session: Session, job: ImageJob, price_usd: float) -> None:
    """Count what the run of a job spared that has just ended, its row being locked."""
    if job.state == JobState.COMPLETED:
        return
    is_budget = job.error_code in _BUDGET_CODES
    if job.stage == Stage.NANO_BANANA and not is_budget:
        return
    may_have_paid = select(SpendEntry.id).where(
        SpendEntry.job_id == job.job_id, SpendEntry.state != SpendState.RELEASED
    )
    if session.exec(may_have_paid).first() is None:
        _count(session, job, BUDGET if is_budget else job.state.lower(), price_usd)


def count_taken_over(session: Session, job: ImageJob, stage: Stage, price_usd: float) -> None:
    """Count a stage whose result came from an earlier job."""
    count(session, job.owner_id, Metric.CACHE_HITS, stage.value)
    if stage is Stage.NANO_BANANA:
        _count(session, job, CACHE_HIT, price_usd)


def avoided(session: Session, owner_id: str | None) -> list[AvoidedCost]:
    """What was not paid since the beginning, by reason; ``owner_id`` None: by everybody."""
    counts = read_counts(session, owner_id)
    pictures, micro_usd = counts.get(Metric.AVOIDED_PICTURES, {}), counts.get(Metric.AVOIDED, {})
    return [
        AvoidedCost(reason, number, to_usd(micro_usd.get(reason, 0)))
        for reason, number in sorted(pictures.items())
    ]


def _count(session: Session, job: ImageJob, reason: str, price_usd: float) -> None:
    count(session, job.owner_id, Metric.AVOIDED_PICTURES, reason)
    count(session, job.owner_id, Metric.AVOIDED, reason, to_micro(price_usd))
