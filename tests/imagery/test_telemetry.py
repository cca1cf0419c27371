"""Log lines have the agreed keys, and the exporter sends each of them once to a real ingestion endpoint."""

from __future__ import annotations

import gzip
import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imagery.settings import Settings
from imagery.telemetry.azure_monitor import configure_exporter
from imagery.telemetry.logs import configure_logging, get_logger, log_context
from tests.servers import Server

KEY = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)


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


def test_an_exporter_without_an_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="APPLICATIONINSIGHTS_CONNECTION_STRING"):
        configure_exporter(Settings(telemetry_exporter="opencensus"))


def test_opencensus_sends_each_line_once(root: logging.Logger) -> None:
    received: list[dict[str, object]] = []

    async def track(request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        items = json.loads(body)
        received.extend(items)
        count = len(items)
        return JSONResponse({"itemsReceived": count, "itemsAccepted": count, "errors": []})

    server = Server(Starlette(routes=[Route("/{path:path}", track, methods=["POST"])]))
    connection = f"InstrumentationKey={KEY};IngestionEndpoint={server.url}"
    configure_logging("INFO", handler=logging.StreamHandler(io.StringIO()))
    configure_exporter(
        Settings(telemetry_exporter="opencensus", applicationinsights_connection_string=connection)
    )
    get_logger("test").info("exported_line", job_id="job-1", stage="rembg")
    until = time.monotonic() + 20
    while not received and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1)
    server.stop()
    messages = [json.dumps(item) for item in received if "exported_line" in json.dumps(item)]
    assert len(messages) == 1
    assert "job-1" in messages[0]
