"""What was not paid, by one rule: a run of a job avoids its paid call if it ends without one.

That is a run that ends rejected, failed or cancelled before its paid call, or reuses the picture of an
earlier job. If a later run of the same job does pay, nothing is taken back: that is a call of its own, and
a counter may only grow. A run of a job that has paid, or may have paid, avoids nothing. The metrics and
``GET /spend`` read the same counters, so they can't disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, select

from imagery.contracts import JobOptions, JobState, Stage
from imagery.database.counters import Metric, count, read_counts
from imagery.database.money import SpendState, to_usd
from imagery.database.tables import ImageJob, SpendEntry
from imagery.prices import Prices

BUDGET, CACHE_HIT = "budget", "cache_hit"
_BUDGET_CODES = ("budget_usd_per_day", "quota_usd_per_day", "price_above_max")


@dataclass(frozen=True)
class AvoidedCost:
    """Calls that were not made, by reason, and what they would have cost at the time."""

    reason: str
    pictures: int
    usd: float


def count_unpaid(session: Session, job: ImageJob, prices: Prices, *, has_entries: bool = True) -> None:
    """Count the call that the job's run, which has just ended, avoided. The job's row is locked.

    ``has_entries``: False for a job that is known to have none in the ledger.
    """
    if job.state == JobState.COMPLETED or not JobOptions.from_json(job.options).output.has_scene:
        return
    is_budget = job.error_code in _BUDGET_CODES
    if job.stage == Stage.NANO_BANANA and not is_budget:
        return
    if not has_entries or not _may_have_paid(session, job):
        _count(session, job, BUDGET if is_budget else job.state.lower(), prices)


def _may_have_paid(session: Session, job: ImageJob) -> bool:
    query = select(SpendEntry.id).where(
        SpendEntry.job_id == job.job_id, SpendEntry.state != SpendState.RELEASED
    )
    return session.exec(query).first() is not None


def count_taken_over(session: Session, job: ImageJob, stage: Stage, prices: Prices) -> None:
    """Count a stage whose result was copied from an earlier job."""
    count(session, job.owner_id, Metric.CACHE_HITS, stage.value)
    if stage is Stage.NANO_BANANA:
        _count(session, job, CACHE_HIT, prices)


def avoided(session: Session, owner_id: str | None) -> list[AvoidedCost]:
    """What was not paid since the beginning, by reason; ``owner_id`` None: for all owners."""
    counts = read_counts(session, owner_id)
    pictures, micro_usd = counts.get(Metric.AVOIDED_PICTURES, {}), counts.get(Metric.AVOIDED, {})
    return [
        AvoidedCost(reason, number, to_usd(micro_usd.get(reason, 0)))
        for reason, number in sorted(pictures.items())
    ]


def _count(session: Session, job: ImageJob, reason: str, prices: Prices) -> None:
    count(session, job.owner_id, Metric.AVOIDED_PICTURES, reason)
    price = prices.of_options(JobOptions.from_json(job.options))
    count(session, job.owner_id, Metric.AVOIDED, reason, price)
