"""Prometheus metrics computed from SQL at scrape time: right with any number of instances."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import case, func
from sqlmodel import Session, col, select

from imagery.circuit_breaker import CircuitState, Dependency
from imagery.contracts import StageState
from imagery.database.engine import Database
from imagery.database.spend_report import avoided, cache_hits, outcomes, owned
from imagery.database.tables import CircuitBreaker, GuardrailLog, ImageJob, StageRun
from imagery.gpu_client import GpuClient
from imagery.spend import SpendState

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_STATE_NUMBERS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}


class SqlCollector(Collector):
    """Reads every figure in one short session; ``owner_id`` None: everybody's, and the machines'."""

    def __init__(
        self, database: Database, gpu: GpuClient | None, price_usd: float, owner_id: str | None = None
    ) -> None:
        self._database = database
        self._owner_id = owner_id
        self._gpu = gpu
        self._price_usd = price_usd

    def collect(self) -> Iterator[Metric]:
        """All metrics of the design, under exactly its names."""
        with self._database.read() as session:
            yield _jobs(session, self._owner_id)
            yield _latency(session, self._owner_id)
            yield from _spend(session, self._owner_id)
            yield _avoided(session, self._price_usd, self._owner_id)
            yield _verdicts(session, self._owner_id)
            yield _cache_hits(session, self._owner_id)
            if self._owner_id is None:
                yield _circuits(session)
        if self._owner_id is None:
            yield self._vram()

    def _vram(self) -> Metric:
        gauge = GaugeMetricFamily(
            "gpu_vram_usage_gauge", "GPU memory in use, GB, as the GPU service tells.", labels=["replica"]
        )
        told = self._gpu.health() if self._gpu else {}
        if "vram_used_gb" in told:
            gauge.add_metric([str(told.get("replica", "gpu"))], float(told["vram_used_gb"]))
        return gauge


def exposition(
    database: Database, gpu: GpuClient | None, price_usd: float, accept: str, owner_id: str | None = None
) -> tuple[bytes, str]:
    """The scrape's body and content type, by the caller's Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SqlCollector(database, gpu, price_usd, owner_id))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _jobs(session: Session, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily("imagery_jobs", "Jobs by state.", labels=["status"])
    query = select(ImageJob.state, func.count()).where(owned(ImageJob.owner_id, owner_id))
    for state, count in session.exec(query.group_by(col(ImageJob.state))):
        metric.add_metric([state], count)
    return metric


def _latency(session: Session, owner_id: str | None) -> Metric:
    metric = HistogramMetricFamily("pipeline_latency_seconds", "Duration of a stage.", labels=["stage"])
    duration = col(StageRun.duration_ms)
    within = [func.sum(case((duration <= bound * 1000, 1), else_=0)) for bound in BUCKETS_S]
    query = select(col(StageRun.stage), func.count(), func.sum(duration), *within).where(
        col(StageRun.state) == StageState.SUCCEEDED, duration.is_not(None)
    )
    if owner_id is not None:
        own = select(ImageJob.job_id).where(ImageJob.owner_id == owner_id)
        query = query.where(col(StageRun.job_id).in_(own))
    rows = session.execute(query.group_by(col(StageRun.stage)))
    for stage, count, total_ms, *counts in rows:
        buckets = [(str(bound), float(number)) for bound, number in zip(BUCKETS_S, counts, strict=True)]
        metric.add_metric([stage], [*buckets, ("+Inf", float(count))], total_ms / 1000)
    return metric


def _spend(session: Session, owner_id: str | None) -> Iterator[Metric]:
    calls = CounterMetricFamily("nano_banana_api_calls", "Paid calls by outcome.", labels=["outcome"])
    spent = CounterMetricFamily("nano_banana_spend_usd", "USD spent on settled calls.")
    found = outcomes(session, owner_id)
    for each in found:
        calls.add_metric([each.state], float(each.calls))
    spent.add_metric([], sum(each.usd for each in found if each.state == SpendState.SETTLED))
    yield calls
    yield spent


def _avoided(session: Session, price_usd: float, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily(
        "nano_banana_spend_avoided_usd",
        "USD not spent, by the reason.",
        labels=["reason"],
    )
    for each in avoided(session, price_usd, owner_id):
        metric.add_metric([each.reason], each.usd)
    return metric


def _cache_hits(session: Session, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily(
        "stage_cache_hits", "Results taken over from an earlier job.", labels=["stage"]
    )
    for stage, count in cache_hits(session, owner_id).items():
        metric.add_metric([stage], count)
    return metric


def _circuits(session: Session) -> Metric:
    metric = GaugeMetricFamily(
        "circuit_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["dependency"]
    )
    states = {row.dependency: row.state for row in session.exec(select(CircuitBreaker))}
    for dependency in Dependency:
        state = CircuitState(states.get(dependency.value, CircuitState.CLOSED))
        metric.add_metric([dependency.value], _STATE_NUMBERS[state])
    return metric


def _verdicts(session: Session, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily("guardrail_validations", "Verdicts of the guardrail.", labels=["verdict"])
    query = select(GuardrailLog.verdict, func.count()).where(owned(GuardrailLog.owner_id, owner_id))
    for verdict, count in session.exec(query.group_by(col(GuardrailLog.verdict))):
        metric.add_metric([verdict], count)
    return metric
