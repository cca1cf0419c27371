"""The way of the log lines to Application Insights, when a setting asks for it."""

from __future__ import annotations

import logging

from imagery.settings import Settings, TelemetryExporter


def configure_exporter(settings: Settings) -> None:
    """Add the chosen exporter to the root logger; ``none`` leaves the platform's own collection alone.

    Raises ``ValueError`` when an exporter is chosen without a connection string.
    """
    if settings.telemetry_exporter is TelemetryExporter.NONE:
        return
    secret = settings.applicationinsights_connection_string
    if secret is None:
        raise ValueError(
            "TELEMETRY_EXPORTER=opencensus needs APPLICATIONINSIGHTS_CONNECTION_STRING; "
            "set it, or TELEMETRY_EXPORTER=none"
        )
    from opencensus.ext.azure.log_exporter import AzureLogHandler  # starts threads when imported

    root = logging.getLogger()
    formatter = next((handler.formatter for handler in root.handlers if handler.formatter), None)
    handler = AzureLogHandler(connection_string=secret.get_secret_value())
    handler.setFormatter(formatter)
    root.addHandler(handler)
