"""Prometheus metrics computed from SQL at scrape time: right with any number of instances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, case, func, true
from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage, StageState
from imagery.database.budget import MICRO
from imagery.database.engine import Database
from imagery.database.tables import GuardrailLog, ImageJob, SpendEntry, StageRun
from imagery.gpu_client import GpuClient
from imagery.spend import SpendState

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_AVOIDED_STATES = (JobState.FAILED, JobState.REJECTED, JobState.CANCELLED)


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


def _owned(column: Any, owner_id: str | None) -> ColumnElement[bool]:
    owned: ColumnElement[bool] = true() if owner_id is None else column == owner_id
    return owned


def _jobs(session: Session, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily("imagery_jobs", "Jobs by state.", labels=["status"])
    query = select(ImageJob.state, func.count()).where(_owned(ImageJob.owner_id, owner_id))
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
    rows = session.execute(
        select(
            col(SpendEntry.state), func.sum(col(SpendEntry.calls)), func.sum(col(SpendEntry.price_micro_usd))
        )
        .where(_owned(SpendEntry.owner_id, owner_id))
        .group_by(col(SpendEntry.state))
    )
    total = 0
    for state, number, micro_usd in rows:
        calls.add_metric([state], float(number))
        if state == SpendState.SETTLED:
            total = micro_usd
    spent.add_metric([], total / MICRO)
    yield calls
    yield spent


def _avoided(session: Session, price_usd: float, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily(
        "nano_banana_spend_avoided_usd", "USD not spent because a job ended before it.", labels=["reason"]
    )
    paid_stage = col(ImageJob.stage).is_distinct_from(Stage.NANO_BANANA.value)
    rows = session.execute(
        select(col(ImageJob.state), func.count())
        .where(col(ImageJob.state).in_(_AVOIDED_STATES), paid_stage, _owned(ImageJob.owner_id, owner_id))
        .group_by(col(ImageJob.state))
    )
    for state, count in rows:
        metric.add_metric([state.lower()], count * price_usd)
    return metric


def _verdicts(session: Session, owner_id: str | None) -> Metric:
    metric = CounterMetricFamily("guardrail_validations", "Verdicts of the guardrail.", labels=["verdict"])
    query = select(GuardrailLog.verdict, func.count()).where(_owned(GuardrailLog.owner_id, owner_id))
    for verdict, count in session.exec(query.group_by(col(GuardrailLog.verdict))):
        metric.add_metric([verdict], count)
    return metric
