"""One job through the real processes: what an exporter sends of it, whole and once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from drills.telemetry.ingestion import Item
from drills.telemetry.one_job import NANO_BANANA_KEY, PROMPT, Recorded, run_one_job
from drills.telemetry.tree import SPANS
from imagery import __version__
from imagery.telemetry.tracing import run_span_id, start_span_id, trace_id_of
from testbed.stack import SIGNING_KEY

pytestmark = pytest.mark.stack

STAGES = ["guardrail", "rembg", "realesrgan", "nano_banana"]
METRICS = {
    "pipeline_latency_seconds_bucket",
    "pipeline_latency_seconds_count",
    "pipeline_latency_seconds_sum",
    "nano_banana_api_calls_total",
    "gpu_vram_usage_gauge",
    "gpu_vram_peak_gauge",
    "gpu_last_answer_age_seconds",
    "guardrail_validations_total",
    "imagery_jobs_total",
    "nano_banana_spend_usd_total",
    "nano_banana_spend_avoided_usd_total",
    "stage_cache_hits_total",
    "imagery_jobs_open",
    "imagery_oldest_open_job_age_seconds",
    "circuit_breaker_state",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """With the one that is older; ``make drill NAME=telemetry`` takes the other."""
    return run_one_job("opencensus", tmp_path_factory.mktemp("telemetry"))


def lines_of(log: str, job_id: str) -> list[dict[str, Any]]:
    """The job's JSON lines on stderr."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"timestamp"')]
    return [line for line in lines if line["job_id"] == job_id]


def of_the_job(recorded: Recorded, *kinds: str) -> list[Item]:
    found = recorded.ingestion.of(*kinds)
    return [item for item in found if item.dimensions.get("job_id") == recorded.job_id]


def spans(recorded: Recorded) -> list[Item]:
    return of_the_job(recorded, *SPANS)


def span(recorded: Recorded, name: str, kind: str) -> Item:
    found = [each for each in spans(recorded) if (each.name, each.kind) == (name, kind)]
    assert len(found) == 1, f"{name}: {len(found)}"
    return found[0]


def test_the_job_completed(recorded: Recorded) -> None:
    assert recorded.state == "COMPLETED", recorded.host_log[-4000:]


@pytest.mark.parametrize("role", ["imagery-functions", "imagery-gpu"])
def test_each_line_of_the_job_arrives_once_with_its_dimensions(recorded: Recorded, role: str) -> None:
    log = recorded.host_log if role == "imagery-functions" else recorded.gpu_log
    lines = lines_of(log, recorded.job_id)
    of_role = [item for item in of_the_job(recorded, "log") if item.role == role]
    assert lines
    assert Counter(line["event"] for line in lines) == Counter(item.name for item in of_role)
    assert {item.dimensions["version"] for item in of_role} == {__version__}
    assert {item.operation for item in of_role} == {trace_id_of(recorded.job_id)}
    for key in ("stage", "duration_ms", "vram_used_gb"):
        told = Counter((line["event"], str(line[key])) for line in lines if line.get(key) is not None)
        assert told == Counter((i.name, i.dimensions[key]) for i in of_role if key in i.dimensions)


def test_every_line_is_an_event_and_not_a_json_text(recorded: Recorded) -> None:
    assert [item.name for item in recorded.ingestion.of("log") if item.name.startswith("{")] == []
    assert recorded.ingestion.of("exception") == []


def test_no_span_arrives_twice_and_all_are_of_the_jobs_operation(recorded: Recorded) -> None:
    found = spans(recorded)
    assert len({item.id for item in found}) == len(found) == 12
    assert {item.operation for item in found} == {trace_id_of(recorded.job_id)}
    assert all(item.data["success"] is True for item in found)
    assert len(recorded.ingestion.of(*SPANS)) == len(found), "there are spans of nothing else"


def test_the_trace_goes_from_the_request_to_the_paid_call(recorded: Recorded) -> None:
    request = span(recorded, "POST /api/v1/process", "request")
    orchestration = span(recorded, "image_pipeline", "request")
    assert (request.id, request.parent) == (start_span_id(recorded.job_id, 1), None)
    assert (orchestration.id, orchestration.parent) == (run_span_id(recorded.job_id, 1), request.id)
    for name in [*STAGES, "finish_job"]:
        assert span(recorded, name, "dependency").parent == orchestration.id
    for stage, path in (("rembg", "/v1/remove-background"), ("realesrgan", "/v1/upscale")):
        call = span(recorded, f"POST {path}", "dependency")
        served = span(recorded, f"POST {path}", "request")
        assert call.parent == span(recorded, stage, "dependency").id
        assert (served.parent, served.role, call.role) == (call.id, "imagery-gpu", "imagery-functions")
        assert call.data["resultCode"] == "200"
    model = recorded.model
    paid = span(recorded, f"POST /v1beta/models/{model}:generateContent", "dependency")
    assert paid.parent == span(recorded, "nano_banana", "dependency").id


def test_the_metrics_arrive_from_one_process(recorded: Recorded) -> None:
    found = recorded.ingestion.of("metric")
    assert {item.name for item in found} >= METRICS
    assert {item.role for item in found} == {"imagery-functions"}
    labels = [tuple(sorted(item.dimensions.items())) for item in found if item.name == "imagery_jobs_total"]
    assert any(("status", "COMPLETED") in each for each in labels)


def test_no_secret_and_no_content_arrives(recorded: Recorded) -> None:
    bodies = "".join(recorded.ingestion.bodies)
    secrets = (NANO_BANANA_KEY, recorded.user_key, SIGNING_KEY, "sig=", "x-goog-api-key")
    for secret in (*secrets, PROMPT, "base64"):
        assert secret not in bodies


def test_nothing_but_telemetry_is_sent(recorded: Recorded) -> None:
    assert recorded.ingestion.foreign_paths == []
    assert "telemetry_not_delivered" not in recorded.host_log + recorded.gpu_log
