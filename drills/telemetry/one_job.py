"""One job through all pieces as real processes, with everything they export recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drills.telemetry.ingestion import Ingestion
from testbed.pictures import small_photo
from testbed.stack import Stack

MODEL = "gemini-nano-banana-2.1"
NANO_BANANA_KEY = "AIzaTestKeyOfTheSimulator_0123456789abcdef"
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
    gpu_log: str
    model: str = MODEL


def run_one_job(exporter: str, folder: Path) -> Recorded:
    """Start the stack, run a job, stop every process gracefully."""
    ingestion = Ingestion()
    environment = {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(folder / "store"),
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "TELEMETRY_EXPORT": "interval_s=1 metrics_s=1",
        "NANO_BANANA_API_KEY": NANO_BANANA_KEY,
        "NANO_BANANA_PROVIDER": f"model={MODEL}",
        "RETENTION_SCHEDULE": "0 0 0 1 1 *",
    }
    stack = Stack(folder, environment)
    try:
        stack.start()
        job_id = stack.submit(small_photo(), prompt=PROMPT)
        state = str(stack.wait_for_end(job_id)["state"])
        ingestion.wait(_told_of_the_end)
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
        gpu_log=stack.gpu.log.read_text(),
    )


def _told_of_the_end(found: Ingestion) -> bool:
    """The push after the job's end: those before it have the counter too, at 0, and no answer of the GPU."""
    ended = (item for item in found.of("metric") if item.dimensions.get("status") == "COMPLETED")
    return any(item.data["metrics"][0]["value"] > 0 for item in ended)
