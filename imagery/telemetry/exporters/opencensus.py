"""Export through opencensus-ext-azure, without what it would report about itself or keep on the disk.

OpenCensus has no distributions for Azure Monitor, so a histogram goes out as the samples that a scrape
shows. Its log handler and trace exporter have one bounded queue and one daemon thread each.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from azure.core.credentials import TokenCredential
from opencensus.ext.azure.common.protocol import Data, Envelope, Message
from opencensus.ext.azure.common.utils import azure_monitor_context
from opencensus.ext.azure.log_exporter import AzureLogHandler
from opencensus.ext.azure.metrics_exporter import MetricsExporter
from opencensus.ext.azure.trace_exporter import AzureExporter
from opencensus.metrics.export.metric import Metric
from opencensus.metrics.export.metric_descriptor import MetricDescriptor, MetricDescriptorType
from opencensus.metrics.export.point import Point
from opencensus.metrics.export.time_series import TimeSeries
from opencensus.metrics.export.value import ValueDouble
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue
from opencensus.trace.span import SpanKind
from opencensus.trace.span_context import SpanContext
from opencensus.trace.span_data import SpanData
from opencensus.trace.status import Status

from imagery.settings import Settings
from imagery.telemetry.exporters.base import LogItem, MetricItem
from imagery.telemetry.tracing import SpanRecord, SpanType

_MOST_IN_A_BATCH = 100
_UNKNOWN_ERROR = 2
_KINDS = {
    SpanType.SERVER: SpanKind.SERVER,
    SpanType.CLIENT: SpanKind.CLIENT,
    SpanType.INTERNAL: SpanKind.UNSPECIFIED,
}


class OpenCensusExporter:
    """``role`` and ``instance`` name the process in Application Insights. Raises ``ValueError``."""

    def __init__(
        self,
        settings: Settings,
        connection_string: str,
        credential: TokenCredential | None,
        role: str,
        instance: str,
    ) -> None:
        options: dict[str, Any] = {
            "connection_string": connection_string,
            "credential": credential,
            "enable_local_storage": False,
            "enable_standard_metrics": False,
            "export_interval": settings.telemetry.export.interval_s,
            "grace_period": settings.telemetry.export.flush_s,
            "max_batch_size": _MOST_IN_A_BATCH,
            "queue_capacity": settings.telemetry.export.queue,
            "timeout": settings.telemetry.export.timeout_s,
        }
        azure_monitor_context.update({"ai.cloud.role": role, "ai.cloud.roleInstance": instance})
        self._logs = _Logs(**options)
        self._spans = _Spans(settings.telemetry.export.sampling, **options)
        self._metrics = MetricsExporter(**options)

    def log(self, item: LogItem) -> None:
        """Queue a line."""
        self._logs.put(item)

    def span(self, record: SpanRecord) -> None:
        """Queue a span."""
        self._spans.export([record])

    def metrics(self, items: Iterable[MetricItem]) -> None:
        """Send samples."""
        now = datetime.now(UTC)
        self._metrics.export_metrics([_metric(item, now) for item in items])

    def shutdown(self, within_s: float) -> None:
        """Send what is queued, within the bound."""
        until = time.monotonic() + within_s
        self._logs.close(within_s)
        # 0 would mean the default, not 'at once'
        self._spans.stop(max(0.1, until - time.monotonic()))


class _Logs(AzureLogHandler):
    """Fed with ``LogItem`` through ``put``, never as a handler of a logger."""

    def put(self, item: LogItem) -> None:
        self._queue.put(item, block=False)

    def flush(self, timeout: float | None = None) -> None:
        # logging.shutdown would wait here without a bound; close() has one
        return

    def log_record_to_envelope(self, item: LogItem) -> Envelope:
        envelope = Envelope(
            name="Microsoft.ApplicationInsights.Message",
            iKey=self.options.instrumentation_key,
            tags=dict(azure_monitor_context),
            time=_iso(item.created_ns),
        )
        if item.trace_id:
            envelope.tags["ai.operation.id"] = item.trace_id
        if item.span_id:
            envelope.tags["ai.operation.parentId"] = item.span_id
        message = Message(
            message=item.event, severityLevel=max(0, item.level - 1) // 10, properties=item.dimensions
        )
        envelope.data = Data(baseData=message, baseType="MessageData")
        return envelope


class _Spans(AzureExporter):
    """Fed with ``SpanRecord``."""

    def __init__(self, sampling: float, **options: Any) -> None:
        super().__init__(**options)
        self._sample_rate = 100.0 * sampling
        # these would wait for the queue once more, after our own bounded shutdown
        atexit.unregister(self._worker.stop)
        atexit.unregister(self._stop)

    def stop(self, within_s: float) -> None:
        self._stop(within_s)

    def span_data_to_envelope(self, record: SpanRecord) -> Iterator[Envelope]:
        for envelope in super().span_data_to_envelope(_span_data(record)):
            envelope.sampleRate = self._sample_rate
            data = envelope.data.baseData
            data.success = data.success and record.succeeded
            data.name = data.name or record.name
            envelope.tags.setdefault("ai.operation.name", data.name)
            data.properties = {name: str(value) for name, value in data.properties.items()}
            yield envelope


def _span_data(record: SpanRecord) -> SpanData:
    return SpanData(
        name=record.name,
        context=SpanContext(trace_id=record.trace_id, span_id=record.span_id),
        span_id=record.span_id,
        parent_span_id=record.parent_id,
        attributes=dict(record.attributes),
        start_time=_iso(record.started_ns),
        end_time=_iso(record.ended_ns),
        child_span_count=None,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=Status(0 if record.succeeded else _UNKNOWN_ERROR),
        same_process_as_parent_span=None,
        span_kind=_KINDS[record.kind],
    )


def _metric(item: MetricItem, now: datetime) -> Metric:
    keys = [LabelKey(name, "") for name in item.labels]
    values = [LabelValue(value) for value in item.labels.values()]
    descriptor = MetricDescriptor(item.name, "", "1", MetricDescriptorType.GAUGE_DOUBLE, keys)
    return Metric(descriptor, [TimeSeries(values, [Point(ValueDouble(item.value), now)], None)])


def _iso(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
