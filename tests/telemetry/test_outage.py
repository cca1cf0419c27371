"""A job does not notice that nobody takes its telemetry."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from drills.telemetry.ingestion import KEY, Ingestion
from testbed.pictures import small_photo
from testbed.ports import free_port
from testbed.stack import Stack

pytestmark = pytest.mark.stack

_STOP_LIMIT_S = 12
_WARNING = "telemetry_not_delivered"


def test_jobs_complete_while_the_endpoint_refuses_and_while_it_hangs(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(tmp_path / "store"),
        "TELEMETRY_EXPORTER": "opentelemetry",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": (
            f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{port}"
        ),
        "TELEMETRY_EXPORT": "interval_s=0.5 timeout_s=2 metrics_s=1",
    }
    stack, endpoint = Stack(tmp_path, environment), None
    began = time.monotonic()
    try:
        stack.start()
        complete_a_job(stack)
        # nobody listens yet, so that each call was refused
        assert warnings_of(stack) >= 1
        endpoint = Ingestion(port, holds=True)
        complete_a_job(stack)
        stopping = time.monotonic()
        stack.host.stop()
        stack.gpu.stop()
        assert time.monotonic() - stopping < _STOP_LIMIT_S
    finally:
        stack.stop()
        if endpoint is not None:
            endpoint.stop()
    assert stack.host.process is not None and stack.host.process.returncode == 0
    # not killed, but ended by the signal that it waited with
    assert stack.gpu.process is not None and stack.gpu.process.returncode == -signal.SIGTERM
    minutes = 1 + int(time.monotonic() - began) // 60
    assert warnings_of(stack) <= minutes + 1, "a warning a minute"


def complete_a_job(stack: Stack) -> None:
    assert stack.wait_for_end(stack.submit(small_photo()))["state"] == "COMPLETED"


def warnings_of(stack: Stack) -> int:
    return stack.host.log.read_text().count(_WARNING)
