"""One job through all pieces as real processes, with everything they export recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stack import PHOTO, Stack
from tests.telemetry.ingestion import Ingestion

PROMPT = "on a table made of old oak in the morning"


@dataclass(frozen=True)
class Recorded:
    """What a finished job left at the endpoint, and what must not be found there."""

    ingestion: Ingestion
    job_id: str
    state: str
    exporter: str
    user_key: str
    host_log: str


def run_one_job(exporter: str, folder: Path) -> Recorded:
    """Start the stack, run a job, stop every process gracefully."""
    ingestion = Ingestion()
    environment = {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(folder / "store"),
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "TELEMETRY_INTERVAL_S": "1",
        "TELEMETRY_METRICS_S": "1",
        "NANO_BANANA_API_KEY": "AIzaTestKeyOfTheSimulator_0123456789abcdef",
        "RETENTION_SCHEDULE": "0 0 0 1 1 *",
    }
    stack = Stack(folder, environment)
    try:
        stack.start()
        job_id = stack.submit(PHOTO.read_bytes(), prompt=PROMPT)
        state = str(stack.wait_for_end(job_id)["state"])
        ingestion.wait(lambda found: bool(found.of("metric")))
    finally:
        stack.stop()
        ingestion.stop()
    return Recorded(
        ingestion=ingestion,
        job_id=job_id,
        state=state,
        exporter=exporter,
        user_key=str(stack.client.headers["X-API-Key"]),
        host_log=stack.host.log.read_text(),
    )
