"""Prometheus metrics read from SQL at scrape time: right with any number of instances.

Counters are raised with the facts they count (``imagery.database.counters``), gauges are looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from imagery.contracts import OPEN_STATES, TERMINAL_STATES, JobState, Stage
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.counters import (
    BUCKETS_S,
    INFINITE,
    Counts,
    Histogram,
    histograms,
    read_counts,
)
from imagery.database.counters import Metric as Counted
from imagery.database.engine import Database
from imagery.database.gpu_answers import last_answer
from imagery.database.money import SpendState, to_usd
from imagery.database.savings import BUDGET, CACHE_HIT
from imagery.database.signatures import UNSIGNED
from imagery.database.spend_report import owned
from imagery.database.tables import CircuitBreaker, ImageJob, utc_now
from imagery.provenance.credentials import CredentialsState

_STATE_NUMBERS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_OPEN = [state for state in JobState if state in OPEN_STATES]
_UNPAID = [state.lower() for state in JobState if state in TERMINAL_STATES - {JobState.COMPLETED}]
_REASONS = [*_UNPAID, BUDGET, CACHE_HIT]
_OUTCOMES = [SpendState.SETTLED, SpendState.RELEASED, SpendState.UNKNOWN]
_VERDICTS = ["admitted", "rejected"]
_CACHED = [Stage.REMBG, Stage.REALESRGAN, Stage.NANO_BANANA]
_SIGNED = [
    CredentialsState.TRUSTED,
    CredentialsState.VALID,
    CredentialsState.BROKEN,
    UNSIGNED,
]
_NEVER = Histogram([(bound, 0) for bound in [*map(str, BUCKETS_S), INFINITE]], 0.0)


class SqlCollector(Collector):
    """Reads every figure in one short session; ``owner_id`` None: everybody's, and the machines'."""

    def __init__(self, database: Database, owner_id: str | None = None) -> None:
        self._database = database
        self._owner_id = owner_id

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        is_operator = self._owner_id is None
        with self._database.read() as session:
            counts = read_counts(session, self._owner_id)
            opened = list(_open_jobs(session, self._owner_id))
            machines = [_circuits(session), *_gpu(session)] if is_operator else []
        yield from _counters(counts)
        yield _latency(counts)
        yield from opened
        yield from machines


def exposition(database: Database, accept: str, owner_id: str | None = None) -> tuple[bytes, str]:
    """The scrape's body and content type, by the caller's Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SqlCollector(database, owner_id))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _counters(counts: Counts) -> Iterator[Metric]:
    yield _counter(
        "imagery_jobs",
        "Jobs that entered a state; a job that is retried enters QUEUED and the others once more.",
        "status",
        JobState,
        counts.get(Counted.JOBS, {}),
    )
    yield _counter(
        "nano_banana_api_calls",
        "Paid calls, each counted when its outcome is known: settled (charged), released (not charged), "
        "unknown (no response). An unknown call that is resolved later counts once more, as what it then is.",
        "outcome",
        _OUTCOMES,
        counts.get(Counted.CALLS, {}),
    )
    spent = CounterMetricFamily("nano_banana_spend_usd", "USD of settled calls.")
    spent.add_metric([], to_usd(counts.get(Counted.SPEND, {}).get("", 0)))
    yield spent
    yield _counter(
        "nano_banana_spend_avoided_usd",
        "USD not spent: a run ended before its paid call (its end, or budget), or a picture was taken over.",
        "reason",
        _REASONS,
        {reason: to_usd(micro) for reason, micro in counts.get(Counted.AVOIDED, {}).items()},
    )
    yield _counter(
        "guardrail_validations",
        "Verdicts of the guardrail.",
        "verdict",
        _VERDICTS,
        counts.get(Counted.VALIDATIONS, {}),
    )
    yield _counter(
        "stage_cache_hits",
        "Results taken over from an earlier job.",
        "stage",
        _CACHED,
        counts.get(Counted.CACHE_HITS, {}),
    )
    yield _counter(
        "pictures_signed",
        "Delivered pictures by the state of their Content Credentials, the whole chain; unsigned: signing "
        "failed, or no longer waited for.",
        "state",
        _SIGNED,
        counts.get(Counted.SIGNED, {}),
    )


def _counter(name: str, told: str, label: str, known: Iterable[str], values: Mapping[str, float]) -> Metric:
    """A counter with all known values of its label from the beginning, so that rates see the first count."""
    metric = CounterMetricFamily(name, told, labels=[label])
    for each in dict.fromkeys([*map(str, known), *values]):
        metric.add_metric([each], values.get(each, 0))
    return metric


def _latency(counts: Counts) -> Metric:
    metric = HistogramMetricFamily(
        "pipeline_latency_seconds", "Duration of a stage's successful attempt.", labels=["stage"]
    )
    found = histograms(counts)
    for stage in dict.fromkeys([*map(str, Stage), *found]):
        told = found.get(stage, _NEVER)
        metric.add_metric([stage], [(bound, float(value)) for bound, value in told.buckets], told.sum_s)
    return metric


def _open_jobs(session: Session, owner_id: str | None) -> Iterator[Metric]:
    number = GaugeMetricFamily("imagery_jobs_open", "Jobs that have not ended.", labels=["status"])
    age = GaugeMetricFamily(
        "imagery_oldest_open_job_age_seconds",
        "Time since the oldest job in the state was created; 0 without one.",
        labels=["status"],
    )
    query = (
        columns(col(ImageJob.state), func.count(), func.min(col(ImageJob.created_at)))
        .where(col(ImageJob.state).in_(_OPEN), owned(ImageJob.owner_id, owner_id))
        .group_by(col(ImageJob.state))
    )
    rows: Any = session.execute(query)
    found: dict[str, tuple[int, datetime]] = {state: (int(jobs), oldest) for state, jobs, oldest in rows}
    now = utc_now()
    for state in _OPEN:
        jobs, oldest = found.get(state, (0, now))
        number.add_metric([state.value], jobs)
        age.add_metric([state.value], max(0.0, (now - oldest).total_seconds()))
    yield number
    yield age


def _circuits(session: Session) -> Metric:
    metric = GaugeMetricFamily(
        "circuit_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["dependency"]
    )
    states = {row.dependency: row.state for row in session.exec(select(CircuitBreaker))}
    for dependency in GuardedDependency:
        state = CircuitState(states.get(dependency.value, CircuitState.CLOSED))
        metric.add_metric([dependency.value], _STATE_NUMBERS[state])
    return metric


def _gpu(session: Session) -> Iterator[Metric]:
    """The last answer of the GPU service; no sample before the first one."""
    used = GaugeMetricFamily(
        "gpu_vram_usage_gauge", "GPU memory in use at the service's last answer, GB.", labels=["replica"]
    )
    peak = GaugeMetricFamily(
        "gpu_vram_peak_gauge", "Its peak until then, since the GPU was last idle, GB.", labels=["replica"]
    )
    age = GaugeMetricFamily(
        "gpu_last_answer_age_seconds", "Time since the GPU service last answered: it sleeps without work."
    )
    last = last_answer(session)
    if last is not None:
        used.add_metric([last.health.replica], last.health.vram_used_gb)
        peak.add_metric([last.health.replica], last.health.vram_peak_gb)
        age.add_metric([], last.age_s)
    yield used
    yield peak
    yield age
