"""A job does not notice that nobody takes its telemetry."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from drills.telemetry.ingestion import KEY, Ingestion
from testbed.pictures import small_photo
from testbed.ports import free_port
from testbed.stack import Stack

pytestmark = pytest.mark.stack

_STOP_LIMIT_S = 12
_JOB_LIMIT_S = 60
_WARNING = "telemetry_not_delivered"


def test_jobs_go_on_while_the_endpoint_refuses_and_while_it_hangs(tmp_path: Path) -> None:
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
        stack.start_host()
        end_a_job(stack)
        # nobody listens yet, so that each call was refused
        assert warnings_of(stack) >= 1
        endpoint = Ingestion(port, holds=True)
        end_a_job(stack)
        stopping = time.monotonic()
        stack.host.stop()
        assert time.monotonic() - stopping < _STOP_LIMIT_S
    finally:
        stack.stop()
        if endpoint is not None:
            endpoint.stop()
    assert stack.host.process is not None and stack.host.process.returncode == 0
    minutes = 1 + int(time.monotonic() - began) // 60
    assert warnings_of(stack) <= minutes + 1, "a warning a minute"


def end_a_job(stack: Stack) -> None:
    """A job that waits for a GPU service that is not there, and is cancelled."""
    job_id = stack.submit(small_photo())
    until = time.monotonic() + _JOB_LIMIT_S
    while stack.status(job_id, wait=1)["stage"] != "rembg":
        assert time.monotonic() < until, "the job does not get to the GPU"
    assert stack.client.post(f"/api/v1/jobs/{job_id}/cancel").json()["state"] == "CANCELLED"


def warnings_of(stack: Stack) -> int:
    return stack.host.log.read_text().count(_WARNING)
