"""Both exporters against a real endpoint: what arrives, and what happens when it does not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drills.telemetry.ingestion import Ingestion, Item
from imagery import __version__
from imagery.telemetry.exporters.azure_monitor import exporter_in_use, shutdown_exporter
from imagery.telemetry.exporters.base import MetricItem
from imagery.telemetry.logs import get_logger, log_context
from imagery.telemetry.tracing import SpanType, span, trace_id_of
from tests.telemetry.conftest import EXPORTERS, Configure

ROOT = Path(__file__).parent.parent.parent
SECRETS = {
    "igp_abcdefghjk_abcdefghijklmnopqrstuvwxyz0123": "our key",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv": "the image model's key",
    "c2lnbmF0dXJlLW9mLWEtc2Fz": "a SAS signature",
    "hunter2hunter2": "a password",
}


def named(ingestion: Ingestion, name: str) -> Item:
    return next(item for item in ingestion.items if item.name == name)


def test_a_line_arrives_once_with_its_dimensions(configure: Configure, ingestion: Ingestion) -> None:
    stream = configure()
    with log_context(job_id="job-1", stage="rembg"):
        get_logger("test").warning("stage_finished", duration_ms=1.5, vram_used_gb=0.25, error_code="no_luck")
    logging.getLogger("some.library").error("plain %s", "words")
    shutdown_exporter()
    ours, theirs = ingestion.of("log")
    assert ours.name == "stage_finished"
    assert ours.operation == trace_id_of("job-1")
    assert ours.role == "imagery-test"
    assert ours.data["severityLevel"] in {2, "Warning"}
    expected = {
        "job_id": "job-1",
        "stage": "rembg",
        "version": __version__,
        "duration_ms": "1.5",
        "vram_used_gb": "0.25",
        "error_code": "no_luck",
        "logger_name": "test",
    }
    assert ours.dimensions == expected
    assert (theirs.name, theirs.operation, theirs.parent) == ("plain words", None, None)
    assert len(stream.getvalue().splitlines()) == 2, "the JSON lines stay"


def test_a_line_inside_a_span_hangs_from_it(configure: Configure, ingestion: Ingestion) -> None:
    configure()
    with span("outer", SpanType.SERVER, "job-1"), span("inner", SpanType.CLIENT, "job-1", component="HTTP"):
        get_logger("test").info("inside", job_id="job-1")
        get_logger("test").info("of_another", job_id="job-2")
    shutdown_exporter()
    outer, inner = (named(ingestion, name) for name in ("outer", "inner"))
    inside, of_another = ingestion.of("log")
    assert (outer.kind, inner.kind) == ("request", "dependency")
    assert (outer.parent, inner.parent, inside.parent) == (None, outer.id, inner.id)
    assert {outer.operation, inner.operation, inside.operation} == {trace_id_of("job-1")}
    assert (of_another.operation, of_another.parent) == (trace_id_of("job-2"), None)


def test_a_block_that_raises_is_a_failed_span(configure: Configure, ingestion: Ingestion) -> None:
    configure()
    for kind in SpanType:
        with pytest.raises(LookupError), span(kind.value, kind, "job-1"):
            raise LookupError
    shutdown_exporter()
    spans = ingestion.of("request", "dependency")
    assert {item.name for item in spans} == set(SpanType)
    assert all(item.data["success"] is False for item in spans)
    assert all(item.dimensions["error_code"] == "LookupError" for item in spans)


def test_no_secret_is_exported(configure: Configure, ingestion: Ingestion) -> None:
    configure()
    key, google_key, signature, password = SECRETS
    url = f"https://account.blob.core.windows.net/jobs/x.png?sv=2026&sig={signature}"
    with span(
        "call", SpanType.CLIENT, "job-1", http__url=url, http__method="GET", note=f"x-api-key: {google_key}"
    ):
        get_logger("test").info("said", api_key=key, detail=f"fetching {url} with {google_key}")
        logging.getLogger("library").warning("postgresql://user:%s@host/name %s", password, key)
        try:
            raise ValueError(f"bad key {google_key}")
        except ValueError:
            logging.getLogger("library").exception("it broke")
    shutdown_exporter()
    bodies = "".join(ingestion.bodies)
    assert len(ingestion.items) == 4
    assert [what for secret, what in SECRETS.items() if secret in bodies] == []


def test_the_share_of_traces_is_a_setting_and_lines_always_arrive(
    configure: Configure, ingestion: Ingestion
) -> None:
    configure("sampling=0.5")
    jobs = [f"job-{number}" for number in range(40)]
    for job_id in jobs:
        with span("work", SpanType.INTERNAL, job_id):
            get_logger("test").info("working", job_id=job_id)
    shutdown_exporter()
    spans = ingestion.of("dependency")
    assert {item.operation for item in spans} == {
        trace_id_of(job_id) for job_id in jobs if int(trace_id_of(job_id)[:8], 16) < 2**31
    }
    assert 5 < len(spans) < 35
    assert {item.raw["sampleRate"] for item in spans} == {50.0}
    assert len(ingestion.of("log")) == len(jobs)


def test_samples_of_metrics_arrive_with_their_labels(configure: Configure, ingestion: Ingestion) -> None:
    configure()
    exporter = exporter_in_use()
    assert exporter is not None
    exporter.metrics(
        [MetricItem("imagery_jobs_total", {"status": "COMPLETED"}, 3.0), MetricItem("plain", {}, 0)]
    )
    first, second = ingestion.of("metric")
    assert (first.name, first.data["metrics"][0]["value"], first.dimensions) == (
        "imagery_jobs_total",
        3.0,
        {"status": "COMPLETED"},
    )
    assert (second.name, second.data["metrics"][0]["value"]) == ("plain", 0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refused_batch_is_told_of_once_and_costs_nothing(
    configure: Configure, ingestion: Ingestion, status: int
) -> None:
    stream = configure()
    ingestion.status = status
    for number in range(300):
        with span("work", SpanType.INTERNAL, "job-1"):
            get_logger("test").info("line", number=number)
    ingestion.wait(lambda server: server.calls >= 6)
    ingestion.status = 200
    get_logger("test").info("afterwards")
    shutdown_exporter()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum(line["event"] == "telemetry_not_delivered" for line in told) == 1
    assert "afterwards" in {item.name for item in ingestion.of("log")}
    names = [item.dimensions.get("number") for item in ingestion.of("log") if item.name == "line"]
    assert len(names) == len(set(names)), "nothing arrives twice"


@pytest.mark.slow
def test_nothing_grows_while_the_endpoint_does_not_answer(configure: Configure, ingestion: Ingestion) -> None:
    queue = 200
    configure(f"queue={queue} timeout_s=60 flush_s=10")
    ingestion.holds = True
    begun = time.monotonic()
    for number in range(queue * 20):
        with span("work", SpanType.INTERNAL, "job-1"):
            get_logger("test").info("line", number=number)
    assert time.monotonic() - begun < 50, "whoever logs does not wait"
    ingestion.holds = False
    shutdown_exporter()
    in_flight = 200
    for kind in ("log", "dependency"):
        assert 0 < len(ingestion.of(kind)) <= queue + in_flight


def test_the_end_of_a_process_waits_no_longer_than_its_bound(
    configure: Configure, ingestion: Ingestion
) -> None:
    configure("timeout_s=60 flush_s=1")
    ingestion.holds = True
    for _ in range(500):
        with span("work", SpanType.INTERNAL, "job-1"):
            get_logger("test").info("line")
    begun = time.monotonic()
    shutdown_exporter()
    logging.shutdown([])
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_no_other_host_is_called() -> None:
    """In processes of their own, which note every name they look up and every address they connect to."""
    endpoints = {exporter: Ingestion() for exporter in EXPORTERS}
    try:
        with ThreadPoolExecutor(len(EXPORTERS)) as pool:
            runs = dict(zip(EXPORTERS, pool.map(lonely, EXPORTERS, endpoints.values()), strict=True))
    finally:
        for ingestion in endpoints.values():
            ingestion.stop()
    for exporter, run in runs.items():
        assert run.returncode == 0, run.stderr
        assert set(json.loads(run.stdout.splitlines()[-1])) == {"127.0.0.1"}, exporter
        ingestion = endpoints[exporter]
        assert {item.kind for item in ingestion.items} == {"log", "dependency", "metric"}, exporter
        assert ingestion.foreign_paths == []


def lonely(exporter: str, ingestion: Ingestion) -> subprocess.CompletedProcess[str]:
    """Export for a while. The last line of what it prints is the hosts that were called."""
    environment = {
        "TELEMETRY_EXPORTER": exporter,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "TELEMETRY_EXPORT": "interval_s=1",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "tests/telemetry/lonely.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
