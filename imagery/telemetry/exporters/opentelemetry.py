"""Export through OpenTelemetry's batch processors and the Azure Monitor exporter.

The exporter is the one inside ``azure-monitor-opentelemetry``. What that distribution adds around it is
left out: global providers and instrumentations, by which every call and line would arrive twice. Nothing
here is registered globally, so no library finds a provider to write to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from azure.core.credentials import TokenCredential
from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from azure.monitor.opentelemetry.exporter.export._base import BaseExporter, ExportResult
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from imagery.settings import Settings
from imagery.telemetry.exporters.base import LogItem, MetricItem
from imagery.telemetry.tracing import SpanRecord, SpanType

_MOST_IN_A_BATCH = 100
# below a library that imagery.telemetry.exporters.base.ExportTroubles listens to
_troubles = logging.getLogger("azure.monitor.opentelemetry.delivery")
_SCOPE = "imagery"
_SAMPLE_RATE = "_MS.sampleRate"
_KINDS = {
    SpanType.SERVER: SpanKind.SERVER,
    SpanType.CLIENT: SpanKind.CLIENT,
    SpanType.INTERNAL: SpanKind.INTERNAL,
}
_SEVERITIES = {
    10: SeverityNumber.DEBUG,
    20: SeverityNumber.INFO,
    30: SeverityNumber.WARN,
    40: SeverityNumber.ERROR,
    50: SeverityNumber.FATAL,
}


class OpenTelemetryExporter:
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
            "disable_offline_storage": True,
            # one attempt: a repeated one could arrive twice, and would hold up those behind it
            "retry_total": 0,
            "timeout": settings.telemetry.export.timeout_s,
            "read_timeout": settings.telemetry.export.timeout_s,
        }
        batches: dict[str, Any] = {
            "max_queue_size": settings.telemetry.export.queue,
            "schedule_delay_millis": settings.telemetry.export.interval_s * 1000,
            "max_export_batch_size": _MOST_IN_A_BATCH,
        }
        self._resource = Resource({"service.name": role, "service.instance.id": instance})
        self._sample_rate = 100.0 * settings.telemetry.export.sampling
        self._log_batches = BatchLogRecordProcessor(_LogExporter(**options), **batches)
        provider = LoggerProvider(self._resource, shutdown_on_exit=False)
        provider.add_log_record_processor(self._log_batches)
        self._logger = provider.get_logger(_SCOPE)
        self._spans = BatchSpanProcessor(_SpanExporter(**options), **batches)
        self._metrics = _MetricExporter(**options)

    def log(self, item: LogItem) -> None:
        """Queue a line."""
        position = _context(item.trace_id, item.span_id) if item.trace_id else None
        self._logger.emit(
            LogRecord(
                timestamp=item.created_ns,
                context=set_span_in_context(NonRecordingSpan(position)) if position else None,
                severity_number=_SEVERITIES.get(item.level // 10 * 10, SeverityNumber.INFO),
                body=item.event,
                attributes=dict(item.dimensions),
            )
        )

    def span(self, record: SpanRecord) -> None:
        """Queue a span."""
        self._spans.on_end(
            ReadableSpan(
                name=record.name,
                context=_context(record.trace_id, record.span_id),
                parent=_context(record.trace_id, record.parent_id) if record.parent_id else None,
                resource=self._resource,
                attributes={**record.attributes, _SAMPLE_RATE: self._sample_rate},
                kind=_KINDS[record.kind],
                status=Status(StatusCode.OK if record.succeeded else StatusCode.ERROR),
                start_time=record.started_ns,
                end_time=record.ended_ns,
                instrumentation_scope=InstrumentationScope(_SCOPE),
            )
        )

    def metrics(self, items: Iterable[MetricItem]) -> None:
        """Send samples."""
        now = time.time_ns()
        metrics = [
            Metric(item.name, "", "", Gauge([NumberDataPoint(item.labels, now, now, item.value)]))
            for item in items
        ]
        scope = ScopeMetrics(InstrumentationScope(_SCOPE), metrics, "")
        self._metrics.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))

    def shutdown(self, within_s: float) -> None:
        """Send what is queued, within the bound: the processors' own public methods have none."""
        until = time.monotonic() + within_s
        for processor in (self._log_batches, self._spans):
            left_s = max(0.1, until - time.monotonic())
            processor._batch_processor.shutdown(timeout_millis=int(left_s * 1000))


class _Telling(BaseExporter):
    """The library is silent about batches that it would have kept on the disk for later."""

    def _transmit(self, envelopes: list[Any], *arguments: Any, **options: Any) -> ExportResult:
        count = len(envelopes)
        result = super()._transmit(envelopes, *arguments, **options)
        if result is not ExportResult.SUCCESS:
            _troubles.warning("%d items were not taken: %s", count, result.name)
        return result


class _SpanExporter(_Telling, AzureMonitorTraceExporter):
    pass


class _MetricExporter(_Telling, AzureMonitorMetricExporter):
    pass


class _LogExporter(_Telling, AzureMonitorLogExporter):
    def _log_to_envelope(self, readable_log_record: ReadableLogRecord) -> Any:
        """Lines of no job belong to no operation, where the exporter would make zeros one."""
        envelope = super()._log_to_envelope(readable_log_record)
        envelope.tags = {name: value for name, value in (envelope.tags or {}).items() if value.strip("0")}
        return envelope


def _context(trace_id: str, span_id: str | None) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id or "0", 16), False, TraceFlags(TraceFlags.SAMPLED))
