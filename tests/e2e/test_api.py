"""The rest of the HTTP contract on the running stack."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed.stack import Stack
from tests.e2e.test_pipeline import job_of

DEPENDENCIES = {
    "database",
    "storage",
    "durable",
    "gpu",
    "nano_banana",
    "nano_banana_fallback",
    "content_safety",
}
METRICS = {
    "pipeline_latency_seconds",
    "nano_banana_api_calls",
    "gpu_vram_usage_gauge",
    "guardrail_validations",
    "imagery_jobs",
    "nano_banana_spend_usd",
    "nano_banana_spend_avoided_usd",
    "circuit_breaker_state",
    "stage_cache_hits",
}


@pytest.fixture(scope="module")
def completed(stack: Stack, photo: bytes) -> str:
    job_id = stack.submit(photo)
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    return job_id


def test_health_names_every_dependency(stack: Stack) -> None:
    answer = stack.client.get("/healthz")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "ok", health
    assert set(health["dependencies"]) == DEPENDENCIES
    assert "simulated" in health["dependencies"]["nano_banana"]["reason"]


@pytest.mark.usefixtures("completed")
def test_the_last_job_says_how_the_gpu_service_is(stack: Stack) -> None:
    told = stack.client.get("/healthz").json()["dependencies"]["gpu"]
    assert told["state"] in {"ok", "idle"}
    assert told["reason"].startswith("last answered ")
    health = told["reading"]["health"]
    assert (health["device"], health["models"]) == ("cpu", {"rembg": "ok", "realesrgan": "ok"})
    probed = stack.client.get("/healthz?probe=true").json()["dependencies"]["gpu"]
    assert (probed["state"], probed["reading"]["health"]["version"]) == ("ok", health["version"])
    assert probed["reading"]["last_answered_at"] > told["reading"]["last_answered_at"]


def test_the_documentation_describes_every_route(stack: Stack) -> None:
    paths = stack.client.get("/openapi.json").json()["paths"]
    expected = {
        "/api/v1/process",
        "/api/v1/status/{job_id}",
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}/cancel",
        "/api/v1/jobs/{job_id}/retry",
        "/api/v1/jobs/{job_id}/images/{stage}",
        "/api/v1/uploads",
        "/api/v1/guardrail/validate",
        "/api/v1/batches",
        "/api/v1/batches/{batch_id}",
        "/api/v1/batches/{batch_id}/cancel",
        "/api/v1/metrics",
        "/api/v1/logs",
        "/healthz",
    }
    assert expected <= paths.keys()
    assert "multipart/form-data" in paths["/api/v1/process"]["post"]["requestBody"]["content"]
    assert stack.client.get("/docs").status_code == 200
    assert stack.client.get("/", follow_redirects=True).status_code == 200


def test_an_accepted_job_tells_where_it_is(stack: Stack, photo: bytes) -> None:
    answer = stack.client.post("/api/v1/process", files={"file": ("p.jpg", photo, "image/jpeg")})
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["Location"] == f"/api/v1/status/{body['job_id']}" == body["links"]["self"]
    assert float(answer.headers["Retry-After"]) > 0
    stack.wait_for_end(body["job_id"])


def test_a_request_id_is_kept_if_it_is_a_plain_word(stack: Stack) -> None:
    kept = stack.client.get("/api/v1/jobs", headers={"X-Request-Id": "abc-123"})
    assert kept.headers["X-Request-Id"] == "abc-123"
    made = stack.client.get("/api/v1/jobs", headers={"X-Request-Id": "a b<script>"})
    assert made.headers["X-Request-Id"] not in {"", "a b<script>"}


def test_status_waits_for_a_change_and_not_longer(stack: Stack, completed: str, photo: bytes) -> None:
    started = time.monotonic()
    stack.status(completed, wait=10)
    assert time.monotonic() - started < 9, "a job that has ended changes no more"
    job_id = stack.submit(photo)
    first = stack.status(job_id)
    assert stack.status(job_id, wait=20)["updated_at"] > first["updated_at"]
    stack.wait_for_end(job_id)


def test_a_state_the_caller_has_not_seen_is_answered_at_once(
    stack: Stack, completed: str, photo: bytes
) -> None:
    job_id = stack.submit(photo)
    first = stack.status(job_id)
    until = time.monotonic() + 30
    while stack.status(job_id)["updated_at"] == first["updated_at"] and time.monotonic() < until:
        time.sleep(0.05)
    started = time.monotonic()
    query = {"wait": 20, "seen": first["updated_at"]}
    later = stack.client.get(f"/api/v1/status/{job_id}", params=query).json()
    assert time.monotonic() - started < 15
    assert later["updated_at"] > first["updated_at"]
    stack.wait_for_end(job_id)


def test_a_job_tells_what_was_asked_and_what_the_guardrail_measured(stack: Stack, photo: bytes) -> None:
    job_id = stack.submit(photo, prompt="on a shelf", aspect_ratio="16:9")
    told = stack.wait_for_end(job_id)
    assert (told["prompt"], told["aspect_ratio"], told["image_size"]) == ("on a shelf", "16:9", "1K")
    report = stack.client.get(f"/api/v1/jobs/{job_id}/guardrail").json()
    assert (report["job_id"], report["verdict"]) == (job_id, "admitted")
    assert any("160" in check["measured"] for check in report["checks"])
    assert all(check["passed"] is not False for check in report["checks"])
    missing = stack.client.get("/api/v1/jobs/nothing/guardrail")
    assert (missing.status_code, missing.json()["code"]) == (404, "job_not_found")


def test_jobs_come_in_pages_newest_first(stack: Stack, completed: str) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(200):
        page = stack.client.get("/api/v1/jobs", params=query).json()
        seen += [job["job_id"] for job in page["jobs"]]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
    assert completed in seen
    assert len(seen) == len(set(seen))
    done = stack.client.get("/api/v1/jobs", params={"state": "COMPLETED"}).json()["jobs"]
    assert {job["state"] for job in done} == {"COMPLETED"}
    bad = stack.client.get("/api/v1/jobs", params={"cursor": "nonsense"})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_cursor")
    assert stack.client.get("/api/v1/jobs", params={"limit": 0}).status_code == 422


@pytest.mark.parametrize("stage", ["source", "guardrail", "rembg", "realesrgan", "nano_banana"])
def test_every_stage_has_a_picture_and_a_thumbnail(stack: Stack, completed: str, stage: str) -> None:
    path = f"/api/v1/jobs/{completed}/images/{stage}"
    whole = stack.client.get(path, follow_redirects=True)
    assert whole.headers["content-type"].startswith("image/")
    small = stack.client.get(path, params={"width": 100})
    assert small.headers["content-type"] == "image/webp"
    assert len(small.content) < len(whole.content)


def test_a_completed_job_is_neither_retried_nor_cancelled(stack: Stack, completed: str) -> None:
    retry = stack.client.post(f"/api/v1/jobs/{completed}/retry")
    assert (retry.status_code, retry.json()["code"]) == (409, "job_not_retryable")
    assert stack.client.post(f"/api/v1/jobs/{completed}/cancel").json()["state"] == "COMPLETED"


def verdicts(stack: Stack) -> dict[str, float]:
    families = text_string_to_metric_families(stack.client.get("/api/v1/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {
        sample.labels["verdict"]: sample.value
        for sample in samples
        if sample.name == "guardrail_validations_total"
    }


def test_the_guardrail_alone_gives_its_verdict(stack: Stack, photo: bytes) -> None:
    before = verdicts(stack)
    admitted = stack.client.post("/api/v1/guardrail/validate", files={"file": ("p", photo, "image/jpeg")})
    assert admitted.json()["admitted"] is True
    assert {check["name"] for check in admitted.json()["checks"]} >= {"file_size", "format", "decodes"}
    refused = stack.client.post("/api/v1/guardrail/validate", files={"file": ("p", photo[:500])})
    assert refused.status_code == 200
    assert refused.json()["code"] in {"truncated_image", "damaged_image"}
    after = verdicts(stack)
    assert {name: after[name] - before.get(name, 0) for name in after} == {"admitted": 1, "rejected": 1}


def test_an_upload_ticket_lets_a_browser_write_one_blob(stack: Stack, photo: bytes) -> None:
    order = {"filename": "../my photo.jpg", "content_type": "image/jpeg", "size": len(photo)}
    answer = stack.client.post("/api/v1/uploads", json=order)
    ticket = answer.json()
    assert ticket["blob"].startswith("uploads/")
    assert ".." not in ticket["blob"]
    assert httpx.put(ticket["url"], content=photo, headers=ticket["headers"]).status_code == 201
    job = job_of(stack, ticket["blob"].removeprefix("uploads/"))
    assert job["filename"] == "my photo.jpg"
    assert stack.wait_for_end(str(job["job_id"]))["state"] == "COMPLETED"
    large = stack.client.post("/api/v1/uploads", json=order | {"size": 10**9})
    assert (large.status_code, large.json()["code"]) == (413, "file_too_large")


def test_logs_tell_the_story_and_can_be_resumed(stack: Stack, completed: str) -> None:
    query = {"job_id": completed}
    lines = stack.client.get("/api/v1/logs", params=query, headers={"Accept": "application/x-ndjson"})
    events = [json.loads(line) for line in lines.text.splitlines()]
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("job_queued", "job_completed")
    stream = stack.client.get(
        "/api/v1/logs", params=query | {"wait": 0}, headers={"Last-Event-ID": str(events[2]["id"])}
    )
    assert stream.headers["content-type"].startswith("text/event-stream")
    data = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")]
    assert [event["id"] for event in data] == [event["id"] for event in events[3:]]


def test_metrics_have_the_agreed_names_and_true_values(stack: Stack, completed: str) -> None:
    text = stack.client.get("/api/v1/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families.keys() >= METRICS
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["imagery_jobs_total", "COMPLETED"] >= 1
    settled = values["nano_banana_api_calls_total", "settled"]
    assert settled >= 1
    billed = stack.bill_client.get("/_simulator/bill").json()
    assert values["nano_banana_spend_usd_total",] <= billed["usd"] + 1e-9
    assert values["pipeline_latency_seconds_count", "realesrgan"] >= 1
    last = values["pipeline_latency_seconds_bucket", "+Inf", "realesrgan"]
    assert last == values["pipeline_latency_seconds_count", "realesrgan"]
    openmetrics = stack.client.get("/api/v1/metrics", headers={"Accept": "application/openmetrics-text"})
    assert openmetrics.text.rstrip().endswith("# EOF")
