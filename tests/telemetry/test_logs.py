"""Log lines have the agreed keys, and each goes out by one way."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from drills.telemetry.ingestion import KEY
from imagery.contracts import GuardrailReport
from imagery.database.engine import Database
from imagery.database.guardrail_log import log_verdict
from imagery.environment import read
from imagery.settings import Settings
from imagery.telemetry.exporters.azure_monitor import configure_exporter, shutdown_exporter
from imagery.telemetry.logs import configure_logging, get_logger, log_context
from tests.telemetry.conftest import EXPORTERS

CONNECTION = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9"


class AsyncLoggingHandler(logging.Handler):
    """Named as the handler by which the Functions worker hands lines to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_a_line_has_the_agreed_keys_in_order(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure_logging("INFO", handler=logging.StreamHandler(stream))
    with log_context(job_id="j", stage="rembg"):
        get_logger("test").info("stage_finished", duration_ms=1.5, vram_used_gb=0.25, attempt=2)
    logging.getLogger("some.library").warning("plain %s", "words")
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(ours) == [
        "timestamp",
        "level",
        "event",
        "job_id",
        "version",
        "stage",
        "duration_ms",
        "vram_used_gb",
        "attempt",
    ]
    assert (ours["event"], ours["job_id"], ours["stage"]) == ("stage_finished", "j", "rembg")
    assert (theirs["event"], theirs["level"], theirs["job_id"]) == ("plain words", "warning", None)


def test_a_picture_that_is_rejected_before_it_is_a_job_has_a_line(
    root: logging.Logger, database: Database
) -> None:
    stream = io.StringIO()
    configure_logging("INFO", handler=logging.StreamHandler(stream))
    report = GuardrailReport(
        admitted=False, code="image_too_small", message="Too small.", checks=[], duration_ms=1.0
    )
    log_verdict(database, report, owner_id="ann", size_bytes=1)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["stage"], line["job_id"]) == ("guardrail_verdict", "guardrail", None)
    assert (line["verdict"], line["error_code"]) == ("rejected", "image_too_small")


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_an_exporter_without_an_address_is_an_error(exporter: str) -> None:
    with pytest.raises(ValueError, match="APPLICATIONINSIGHTS_CONNECTION_STRING"):
        configure_exporter(read(Settings, {"TELEMETRY_EXPORTER": exporter}))


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_an_exporter_beside_the_one_of_the_worker_is_an_error(exporter: str) -> None:
    variables = {
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": CONNECTION,
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
    }
    with pytest.raises(ValueError, match="twice"):
        configure_exporter(read(Settings, variables))


def test_without_an_exporter_lines_take_the_way_of_the_host_alone(root: logging.Logger) -> None:
    forwarder = AsyncLoggingHandler()
    root.handlers[:] = [forwarder]
    configure_logging("INFO")
    configure_exporter(Settings())
    get_logger("test").info("a_line")
    assert root.handlers == [forwarder]
    assert [json.loads(line)["event"] for line in forwarder.lines] == ["a_line"]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_with_an_exporter_lines_no_longer_take_the_way_of_the_host(
    root: logging.Logger, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    forwarder = AsyncLoggingHandler()
    root.handlers[:] = [forwarder]
    configure_logging("INFO")
    variables = {
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": CONNECTION,
        "TELEMETRY_EXPORT": "flush_s=0.1",
    }
    configure_exporter(read(Settings, variables))
    get_logger("test").info("a_line")
    shutdown_exporter()
    assert forwarder.lines == []
    assert json.loads(stderr.getvalue().splitlines()[0])["event"] == "a_line"
