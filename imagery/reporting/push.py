"""The metrics of ``/api/v1/metrics``, exported as well: read from SQL, by one process of all.

The figures are totals of the whole system, so only one instance may send them. That is the one the
reconciler's timer fires on: the host holds a lease for timers, so that at any time it is a single one.
Each sample is sent as it stands, as a gauge under its Prometheus name (``imagery_jobs_total``,
``pipeline_latency_seconds_bucket`` and so on): in a query take the newest value, never the sum over time.
The figures of the GPU service are those of its last answer to a job, ``gpu_last_answer_age_seconds`` ago.
"""

from __future__ import annotations

import threading
import time

from imagery.reporting.metrics import SqlCollector
from imagery.services import Services, get_services
from imagery.telemetry.exporters.azure_monitor import exporter_in_use
from imagery.telemetry.exporters.base import Exporter, MetricItem
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_busy = threading.Lock()
_last: list[float] = []


def push_metrics() -> None:
    """Export in the background, unless an export is under way or the last one is too recent.

    TELEMETRY_EXPORT has the time between two (``metrics_s``).
    """
    exporter = exporter_in_use()
    if exporter is None:
        return
    services = get_services()
    now = time.monotonic()
    if _last and now - _last[0] < services.settings.telemetry.export.metrics_s:
        return
    if not _busy.acquire(blocking=False):
        return
    _last[:] = [now]
    threading.Thread(target=_push, args=(services, exporter), name="telemetry-metrics", daemon=True).start()


def collected(services: Services) -> list[MetricItem]:
    """Every sample, as a scrape by an administrator shows it."""
    collector = SqlCollector(services.database)
    return [
        MetricItem(sample.name, dict(sample.labels), float(sample.value))
        for metric in collector.collect()
        for sample in metric.samples
    ]


def _push(services: Services, exporter: Exporter) -> None:
    try:
        exporter.metrics(collected(services))
    except Exception as error:
        _log.warning("metrics_not_exported", error=str(error))
    finally:
        _busy.release()
