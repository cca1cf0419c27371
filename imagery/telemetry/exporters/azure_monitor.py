"""The way to Application Insights, when a setting asks for one: exactly one for every line, span and metric.

On Azure Functions the host forwards what the worker logs to Application Insights. With an exporter that
would be a second way, so its handler is taken off the root logger and the lines go to stderr instead,
which host.json keeps out of Application Insights. See docs/telemetry.md.
"""

from __future__ import annotations

import atexit
import logging
import socket
import sys
from typing import TYPE_CHECKING

from imagery.identity import make_credential
from imagery.settings import Settings, TelemetryExporter, turn_off_self_reporting
from imagery.telemetry import tracing
from imagery.telemetry.exporters.base import Exporter, ExportHandler, ExportTroubles

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# of the Functions worker, in each of its generations: it hands the root logger's lines to the host
_FORWARDER = "AsyncLoggingHandler"
_installed: list[tuple[ExportHandler, Exporter]] = []


def configure_exporter(settings: Settings, role: str = "imagery-functions") -> None:
    """Export this process's lines and spans; ``none`` leaves the platform's own collection alone.

    ``role``: its name in Application Insights. Raises ``ValueError`` when an exporter is chosen without a
    valid connection string, beside the one of the Functions worker, or with an unknown authentication.
    """
    chosen = settings.telemetry.exporter
    if chosen is TelemetryExporter.NONE:
        return
    secret = settings.telemetry.connection_string
    if secret is None:
        raise ValueError(
            f"TELEMETRY_EXPORTER={chosen.value} needs APPLICATIONINSIGHTS_CONNECTION_STRING; "
            "set it, or TELEMETRY_EXPORTER=none"
        )
    if settings.telemetry.worker_exports:
        raise ValueError(
            f"TELEMETRY_EXPORTER={chosen.value} and PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY=true would "
            "export everything twice; remove one of them"
        )
    turn_off_self_reporting()
    ExportTroubles().install()
    exporter = _make(settings, secret.get_secret_value(), role, socket.gethostname())
    handler = ExportHandler(exporter, settings.telemetry.export.flush_s)
    root = logging.getLogger()
    _leave_the_forwarding(root)
    root.addHandler(handler)
    tracing.use(exporter, settings.telemetry.export.sampling)
    _installed[:] = [(handler, exporter)]
    atexit.register(handler.close)


def shutdown_exporter() -> None:
    """Send what is queued, for processes that end without ``atexit``.

    TELEMETRY_EXPORT bounds it (``flush_s``).
    """
    for handler, _ in _installed:
        handler.close()
    _installed.clear()


def exporter_in_use() -> Exporter | None:
    """The exporter of this process."""
    return _installed[0][1] if _installed else None


def _credential(settings: Settings) -> TokenCredential | None:
    """What authorises the exporter; None: the key in the connection string does."""
    text = settings.telemetry.authentication
    if text is None:
        return None
    if "authorization=aad" not in text.lower().split(";"):
        raise ValueError(
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING must contain Authorization=AAD; remove it to send "
            "with the key in APPLICATIONINSIGHTS_CONNECTION_STRING"
        )
    return make_credential(settings)


def _make(settings: Settings, connection_string: str, role: str, instance: str) -> Exporter:
    credential = _credential(settings)
    # imported here: each starts threads and takes a second, and the other one is not needed
    if settings.telemetry.exporter is TelemetryExporter.OPENCENSUS:
        from imagery.telemetry.exporters.opencensus import OpenCensusExporter

        return OpenCensusExporter(settings, connection_string, credential, role, instance)
    from imagery.telemetry.exporters.opentelemetry import OpenTelemetryExporter

    return OpenTelemetryExporter(settings, connection_string, credential, role, instance)


def _leave_the_forwarding(root: logging.Logger) -> None:
    forwarders = [handler for handler in root.handlers if type(handler).__name__ == _FORWARDER]
    for forwarder in forwarders:
        root.removeHandler(forwarder)
    if forwarders and not root.handlers:
        to_stderr = logging.StreamHandler(sys.stderr)
        to_stderr.setFormatter(forwarders[0].formatter)
        root.addHandler(to_stderr)
