"""Prometheus metrics computed from SQL at scrape time: right with any number of instances."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import case, func
from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage, StageState
from imagery.database.engine import Database
from imagery.database.tables import GuardrailLog, ImageJob, SpendEntry, StageRun
from imagery.gpu_client import GpuClient
from imagery.spend import MICRO, SpendState

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_AVOIDED_STATES = (JobState.FAILED, JobState.REJECTED, JobState.CANCELLED)


class SqlCollector(Collector):
    """Reads every figure in one short session."""

    def __init__(self, database: Database, gpu: GpuClient | None, price_usd: float) -> None:
        self._database = database
        self._gpu = gpu
        self._price_usd = price_usd

    def collect(self) -> Iterator[Metric]:
        """All metrics of the design, under exactly its names."""
        with self._database.read() as session:
            yield _jobs(session)
            yield _latency(session)
            yield from _spend(session)
            yield _avoided(session, self._price_usd)
            yield _verdicts(session)
        yield self._vram()

    def _vram(self) -> Metric:
        gauge = GaugeMetricFamily(
            "gpu_vram_usage_gauge", "GPU memory in use, GB, as the GPU service tells.", labels=["replica"]
        )
        told = self._gpu.health() if self._gpu else {}
        if "vram_used_gb" in told:
            gauge.add_metric([str(told.get("replica", "gpu"))], float(told["vram_used_gb"]))
        return gauge


def exposition(database: Database, gpu: GpuClient | None, price_usd: float, accept: str) -> tuple[bytes, str]:
    """The scrape's body and content type, by the caller's Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SqlCollector(database, gpu, price_usd))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _jobs(session: Session) -> Metric:
    metric = CounterMetricFamily("imagery_jobs", "Jobs by state.", labels=["status"])
    for state, count in session.exec(select(ImageJob.state, func.count()).group_by(col(ImageJob.state))):
        metric.add_metric([state], count)
    return metric


def _latency(session: Session) -> Metric:
    metric = HistogramMetricFamily("pipeline_latency_seconds", "Duration of a stage.", labels=["stage"])
    duration = col(StageRun.duration_ms)
    within = [func.sum(case((duration <= bound * 1000, 1), else_=0)) for bound in BUCKETS_S]
    rows = session.execute(
        select(col(StageRun.stage), func.count(), func.sum(duration), *within)
        .where(col(StageRun.state) == StageState.SUCCEEDED, duration.is_not(None))
        .group_by(col(StageRun.stage))
    )
    for stage, count, total_ms, *counts in rows:
        buckets = [(str(bound), float(number)) for bound, number in zip(BUCKETS_S, counts, strict=True)]
        metric.add_metric([stage], [*buckets, ("+Inf", float(count))], total_ms / 1000)
    return metric


def _spend(session: Session) -> Iterator[Metric]:
    calls = CounterMetricFamily("nano_banana_api_calls", "Paid calls by outcome.", labels=["outcome"])
    spent = CounterMetricFamily("nano_banana_spend_usd", "USD spent on settled calls.")
    rows = session.execute(
        select(
            col(SpendEntry.state), func.sum(col(SpendEntry.calls)), func.sum(col(SpendEntry.price_micro_usd))
        ).group_by(col(SpendEntry.state))
    )
    total = 0
    for state, number, micro_usd in rows:
        calls.add_metric([state], float(number))
        if state == SpendState.SETTLED:
            total = micro_usd
    spent.add_metric([], total / MICRO)
    yield calls
    yield spent


def _avoided(session: Session, price_usd: float) -> Metric:
    metric = CounterMetricFamily(
        "nano_banana_spend_avoided_usd", "USD not spent because a job ended before it.", labels=["reason"]
    )
    paid_stage = col(ImageJob.stage).is_distinct_from(Stage.NANO_BANANA.value)
    rows = session.execute(
        select(col(ImageJob.state), func.count())
        .where(col(ImageJob.state).in_(_AVOIDED_STATES), paid_stage)
        .group_by(col(ImageJob.state))
    )
    for state, count in rows:
        metric.add_metric([state.lower()], count * price_usd)
    return metric


def _verdicts(session: Session) -> Metric:
    metric = CounterMetricFamily("guardrail_validations", "Verdicts of the guardrail.", labels=["verdict"])
    query = select(GuardrailLog.verdict, func.count()).group_by(col(GuardrailLog.verdict))
    for verdict, count in session.exec(query):
        metric.add_metric([verdict], count)
    return metric
