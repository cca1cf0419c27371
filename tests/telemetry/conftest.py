"""A process of its own for each test, as far as logging and exporting go."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import pytest

from drills.telemetry.ingestion import Ingestion
from imagery.environment import read
from imagery.settings import Settings
from imagery.telemetry.exporters.azure_monitor import configure_exporter, shutdown_exporter
from imagery.telemetry.logs import configure_logging

EXPORTERS = ("opencensus", "opentelemetry")
Configure = Callable[..., io.StringIO]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    # the endpoint runs in this process, and its own lines would be exported to it
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    yield logger
    shutdown_exporter()
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.NOTSET)


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    """A recording ingestion endpoint."""
    server = Ingestion()
    yield server
    server.stop()


@pytest.fixture(params=EXPORTERS)
def exporter(request: pytest.FixtureRequest) -> str:
    """Each exporter's name."""
    return str(request.param)


@pytest.fixture
def configure(root: logging.Logger, exporter: str, ingestion: Ingestion) -> Configure:
    """Configures logging and the exporter, which gets ``words``; returns the stream of the JSON lines."""

    def configured(words: str = "") -> io.StringIO:
        stream = io.StringIO()
        configure_logging("INFO", handler=logging.StreamHandler(stream))
        variables = {
            "TELEMETRY_EXPORTER": exporter,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
            "TELEMETRY_EXPORT": f"interval_s=0.2 {words}",
        }
        configure_exporter(read(Settings, variables), "imagery-test")
        return stream

    return configured
