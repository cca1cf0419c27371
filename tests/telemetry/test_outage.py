"""A job does not notice that nobody takes its telemetry."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from drills.telemetry.ingestion import KEY, Ingestion
from testbed.pictures import small_photo
from testbed.stack import Stack
from tests.telemetry.conftest import EXPORTERS

pytestmark = pytest.mark.stack

_STOP_LIMIT_S = 12


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("endpoint", ["refuses", "hangs"])
def test_a_job_completes_while_the_endpoint_is_away(
    exporter: str, endpoint: str, tmp_path: Path, ingestion: Ingestion
) -> None:
    ingestion.holds = endpoint == "hangs"
    away = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9"
    environment = {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(tmp_path / "store"),
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string if ingestion.holds else away,
        "TELEMETRY_EXPORT": "interval_s=0.5 timeout_s=2 metrics_s=1",
    }
    stack = Stack(tmp_path, environment)
    try:
        stack.start()
        assert stack.wait_for_end(stack.submit(small_photo()))["state"] == "COMPLETED"
        begun = time.monotonic()
        stack.host.stop()
        stack.gpu.stop()
        assert time.monotonic() - begun < _STOP_LIMIT_S
    finally:
        stack.stop()
    assert stack.host.process is not None and stack.host.process.returncode == 0
    # not killed, but ended by the signal that it waited with
    assert stack.gpu.process is not None and stack.gpu.process.returncode == -signal.SIGTERM
    told = stack.host.log.read_text().count("telemetry_not_delivered")
    assert 1 <= told <= 2, "a warning a minute"
