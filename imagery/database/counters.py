"""Counters that only grow, each increased in the transaction that writes the fact it counts.

So they are exact with any number of instances and over restarts, retries and retention. Whole numbers
only: money is counted in millionths of USD, durations in millionths of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select as columns
from sqlmodel import Session, col

from imagery.database.journal import EVERYBODY, journal_of
from imagery.database.tables import MetricCount

_MICROSECONDS = 1_000_000
BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
INFINITE = "+Inf"

# values by metric and label
Counts = Mapping[str, Mapping[str, int]]


class Metric(StrEnum):
    """What is counted; the label is named in the comment."""

    JOBS = "jobs"  # state that was entered
    CALLS = "calls"  # outcome of a paid call
    SPEND = "spend"  # none; micro USD
    AVOIDED = "avoided"  # reason; micro USD
    AVOIDED_PICTURES = "avoided_pictures"  # reason
    VALIDATIONS = "validations"  # verdict
    CACHE_HITS = "cache_hits"  # stage
    SIGNED = "signed"  # state of the delivered picture's Content Credentials
    LATENCY_SUM = "latency_sum"  # stage; microseconds
    LATENCY_BUCKET = "latency_bucket"  # stage/bound: durations beyond the bound before, up to this one


@dataclass(frozen=True)
class Histogram:
    """Durations of one stage. ``buckets`` are cumulative counts by their upper bound in seconds, as text."""

    buckets: list[tuple[str, int]]
    sum_s: float


def count(session: Session, owner_id: str, metric: Metric, label: str = "", value: int = 1) -> None:
    """Increase a counter of ``owner_id`` and the total when the transaction commits."""
    if value > 0:
        journal_of(session).counts[owner_id, metric.value, label] += value


def count_latency(session: Session, owner_id: str, stage: str, duration_ms: float) -> None:
    """Count one duration of a stage."""
    count(session, owner_id, Metric.LATENCY_BUCKET, f"{stage}/{_bound(duration_ms / 1000)}")
    count(session, owner_id, Metric.LATENCY_SUM, stage, round(duration_ms * 1000))


def read_counts(session: Session, owner_id: str | None) -> Counts:
    """All counters of an owner; ``owner_id`` None: the totals."""
    query = columns(col(MetricCount.name), col(MetricCount.label), col(MetricCount.value)).where(
        col(MetricCount.owner_id) == (owner_id or EVERYBODY)
    )
    found: dict[str, dict[str, int]] = {}
    rows: Any = session.execute(query)
    for name, label, value in rows:
        found.setdefault(name, {})[label] = int(value)
    return found


def histograms(counts: Counts) -> dict[str, Histogram]:
    """The latency of each stage that was ever counted.

    Counts under a bound that no longer exists go to the next higher one, so that bounds can change.
    """
    stages: dict[str, dict[float, int]] = {}
    for label, value in counts.get(Metric.LATENCY_BUCKET, {}).items():
        stage, _, bound = label.rpartition("/")
        stages.setdefault(stage, {})[float(bound)] = value
    sums = counts.get(Metric.LATENCY_SUM, {})
    return {
        stage: Histogram(_cumulative(found), sums.get(stage, 0) / _MICROSECONDS)
        for stage, found in stages.items()
    }


def _bound(seconds: float) -> str:
    return next((str(bound) for bound in BUCKETS_S if seconds <= bound), INFINITE)


def _cumulative(found: dict[float, int]) -> list[tuple[str, int]]:
    bounds = [*BUCKETS_S, float("inf")]
    return [
        (INFINITE if bound == float("inf") else str(bound), sum(n for at, n in found.items() if at <= bound))
        for bound in bounds
    ]
