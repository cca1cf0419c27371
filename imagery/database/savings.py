"""What was not paid: counted when a job ends before its paid call, or takes a picture over."""

from __future__ import annotations

from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage
from imagery.database.counters import MICRO, Metric, count
from imagery.database.spend_report import BUDGET_CODES
from imagery.database.tables import ImageJob, SpendEntry

BUDGET, CACHE_HIT = "budget", "cache_hit"
_RELEASED = "released"


def count_unpaid(session: Session, job: ImageJob, price_usd: float) -> None:
    """Count what a job saved that has just ended, its row being locked; nothing if it ever paid."""
    if job.state == JobState.COMPLETED:
        return
    is_budget = job.error_code in BUDGET_CODES
    if job.stage == Stage.NANO_BANANA and not is_budget:
        return
    paid = select(SpendEntry.id).where(SpendEntry.job_id == job.job_id, col(SpendEntry.state) != _RELEASED)
    if session.exec(paid).first() is None:
        reason = BUDGET if is_budget else job.state.lower()
        count(session, job.owner_id, Metric.AVOIDED, reason, round(price_usd * MICRO))


def count_taken_over(session: Session, job: ImageJob, stage: Stage, price_usd: float) -> None:
    """Count a stage whose result came from an earlier job."""
    count(session, job.owner_id, Metric.CACHE_HITS, stage.value)
    if stage is Stage.NANO_BANANA:
        count(session, job.owner_id, Metric.AVOIDED, CACHE_HIT, round(price_usd * MICRO))
