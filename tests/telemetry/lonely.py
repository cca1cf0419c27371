"""Exports for a while and prints the hosts that were called, as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_WATCH_S = 20.0


def main() -> None:
    """Log, trace and measure, with every connection noted."""
    hosts: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            hosts.add(str(arguments[0]))
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            hosts.add(str(arguments[1][0]))

    sys.addaudithook(note)
    from imagery.settings import get_settings
    from imagery.telemetry.exporters.azure_monitor import (
        configure_exporter,
        exporter_in_use,
        shutdown_exporter,
    )
    from imagery.telemetry.exporters.base import MetricItem
    from imagery.telemetry.logs import configure_logging, get_logger
    from imagery.telemetry.tracing import SpanType, span

    configure_logging("INFO", handler=logging.StreamHandler(sys.stderr))
    configure_exporter(get_settings())
    exporter = exporter_in_use()
    assert exporter is not None
    until = time.monotonic() + _WATCH_S
    while time.monotonic() < until:
        with span("work", SpanType.CLIENT, "job-1"):
            get_logger("lonely").info("line")
        exporter.metrics([MetricItem("figure", {}, 1.0)])
        time.sleep(1)
    shutdown_exporter()
    sys.stdout.write(json.dumps(sorted(hosts)) + "\n")


if __name__ == "__main__":
    main()
