"""What both exporters share: their input, and the way of log lines and of their own troubles to it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from imagery.telemetry import tracing
from imagery.telemetry.logs import get_logger, line_of

# a longer one is cut by Application Insights
_MOST_CHARS = 8192
_NOT_DIMENSIONS = {"timestamp", "level", "event"}
_LIBRARIES = ("azure.monitor.opentelemetry", "opencensus", "opentelemetry")
_TROUBLE_EVERY_S = 60.0
_log = get_logger(__name__)


@dataclass(frozen=True)
class LogItem:
    """A log line as it is exported: ``event`` is the message, ``dimensions`` its customDimensions.

    ``created_ns``: nanoseconds since 1970; ``level``: of the standard library; trace and span may be "".
    """

    event: str
    level: int
    created_ns: int
    trace_id: str
    span_id: str
    dimensions: dict[str, str]


@dataclass(frozen=True)
class MetricItem:
    """One sample of a metric, at the time of its export."""

    name: str
    labels: dict[str, str]
    value: float


class Exporter(tracing.SpanSink, Protocol):
    """Sends to Application Insights in the background. ``log`` and ``span`` return at once and never raise
    for want of room: what finds the queue full is dropped.
    """

    def log(self, item: LogItem) -> None:
        """Queue a line."""

    def metrics(self, items: Iterable[MetricItem]) -> None:
        """Send samples; blocks until they are sent or the time limit of a batch has passed."""

    def shutdown(self, within_s: float) -> None:
        """Send what is queued, for so many seconds at most; nothing is exported afterwards."""


class ExportHandler(logging.Handler):
    """The handler of the root logger: each line goes to the exporter, once."""

    def __init__(self, exporter: Exporter, flush_s: float) -> None:
        super().__init__()
        self._exporter = exporter
        self._flush_s = flush_s
        self._is_closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line."""
        if self._is_closed:
            return
        try:
            self._exporter.log(_item(record))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Also called by ``logging.shutdown``: the last lines and spans are sent within the bound."""
        if self._is_closed:
            return
        self._is_closed = True
        tracing.use(None)
        self._exporter.shutdown(self._flush_s)
        super().close()


class ExportTroubles(logging.Handler):
    """Turns what the exporters' libraries log about lost batches into one line of ours a minute.

    Their own lines would go through the exporter again, which makes more of them.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def install(self) -> None:
        """In the place of every other handler."""
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.handlers[:] = [self]
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Report the error, unless the same one was reported a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _TROUBLE_EVERY_S
        _log.warning("telemetry_not_delivered", library=record.name, error=record.getMessage()[:300])


def _item(record: logging.LogRecord) -> LogItem:
    line = line_of(record)
    job_id = line.get("job_id")
    trace_id, span_id = tracing.position(job_id if isinstance(job_id, str) else None) or ("", "")
    named = {name: value for name, value in line.items() if name not in _NOT_DIMENSIONS}
    dimensions = {name: _text(value) for name, value in named.items() if value is not None}
    dimensions["logger_name"] = record.name
    return LogItem(
        event=str(line["event"])[:_MOST_CHARS],
        level=record.levelno,
        created_ns=int(record.created * 1e9),
        trace_id=trace_id,
        span_id=span_id,
        dimensions=dimensions,
    )


def _text(value: Any) -> str:
    """As JSON has it, strings as they are: customDimensions are text."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[:_MOST_CHARS]
