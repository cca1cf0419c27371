"""The end of jobs on the running host: by an operator's hand, by the deadline, by age; and lost uploads."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagery.contracts import JOBS, UPLOADS, BlobRef
from testbed.pictures import encoded
from testbed.stack import Stack
from tests.e2e.hosts import MANAGEMENT, host_alone, instance, put_upload, store_of
from tests.e2e.test_batches import wait_for

SETTINGS = {
    "JOB_DEADLINE_S": "12",
    "RETENTION_SCHEDULE": "*/2 * * * * *",
    "RETENTION": "pictures_days=0.0001",
}
PHOTO = encoded("JPEG", size=(96, 96))


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with host_alone(request, tmp_path_factory, **SETTINGS) as running:
        yield running


def by_hand(host: Stack, job_id: str, verb: str) -> None:
    answer = host.client.post(f"{MANAGEMENT}/instances/{job_id}-1/{verb}")
    assert answer.status_code == 202


def error(host: Stack, job_id: str) -> tuple[str, str]:
    status = host.wait_for_end(job_id, 40)
    return status["state"], status["error"]["code"]


def test_a_suspended_job_ends_at_its_deadline(host: Stack) -> None:
    job_id = host.submit(PHOTO)
    wait_for(lambda: instance(host, f"{job_id}-1") == "Running")
    by_hand(host, job_id, "suspend")
    wait_for(lambda: instance(host, f"{job_id}-1") == "Suspended")
    time.sleep(6)
    assert host.status(job_id)["state"] not in {"FAILED", "CANCELLED"}, "whoever suspended it may resume it"
    assert error(host, job_id) == ("FAILED", "deadline_exceeded")
    wait_for(lambda: instance(host, f"{job_id}-1") in {"Terminated", None})


def test_a_job_that_an_operator_terminates_says_so(host: Stack) -> None:
    job_id = host.submit(PHOTO)
    wait_for(lambda: instance(host, f"{job_id}-1") == "Running")
    by_hand(host, job_id, "terminate")
    started = time.monotonic()
    assert error(host, job_id) == ("FAILED", "orchestration_terminated")
    assert time.monotonic() - started < 60, "a few ticks, not its deadline"


def figures(host: Stack) -> list[str]:
    """What Prometheus is told, gauges left out."""
    lines: list[str] = host.client.get("/api/v1/metrics").text.splitlines()
    gauges = {line.split()[2] for line in lines if line.startswith("# TYPE") and line.endswith("gauge")}
    return [line for line in lines if not any(name in line for name in gauges)]


def ended_job(host: Stack) -> tuple[str, BlobRef]:
    """A job of an upload, cancelled when its first picture was there."""
    source = BlobRef(container=UPLOADS, name=f"{uuid.uuid4()}.jpg")
    put_upload(host, source.name, PHOTO)
    answer = host.client.post("/api/v1/process", json={"blob": source.path})
    assert answer.status_code in {200, 202}, answer.text
    job_id = str(answer.json()["job_id"])
    wait_for(lambda: host.status(job_id)["stages"][0]["state"] == "SUCCEEDED")
    assert host.client.post(f"/api/v1/jobs/{job_id}/cancel").json()["state"] == "CANCELLED"
    return job_id, source


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_an_old_job_is_told_without_its_pictures(host: Stack) -> None:
    job_id, source = ended_job(host)
    store = store_of(host)
    assert [ref.name for ref in store.list(JOBS, f"{job_id}/")] == [f"{job_id}/0-guardrail.png"]
    before = figures(host)
    expired: Callable[[], bool] = lambda: host.status(job_id)["expired_at"] is not None  # noqa: E731
    wait_for(expired)
    assert figures(host) == before
    assert list(store.list(JOBS, f"{job_id}/")) == []
    assert not store.exists(source)
    assert instance(host, f"{job_id}-1") is None
    status = host.status(job_id)
    assert (status["state"], status["stages"][0]["output"]) == ("CANCELLED", None)
    for stage in ("source", "guardrail", "nano_banana"):
        answer = host.client.get(f"/api/v1/jobs/{job_id}/images/{stage}")
        assert problem(answer) == (410, "image_expired")
    retry = host.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert problem(retry) == (409, "job_expired")


def test_an_upload_whose_event_never_came_gets_its_job(host: Stack) -> None:
    name = f"lost-{uuid.uuid4()}.jpg"
    put_upload(host, name, PHOTO)

    def jobs() -> list[dict[str, Any]]:
        answer = host.client.get("/api/v1/jobs", params={"source": f"{UPLOADS}/{name}"})
        found: list[dict[str, Any]] = answer.json()["jobs"]
        return found

    wait_for(lambda: jobs() != [])
    [job] = jobs()
    wait_for(lambda: instance(host, f"{job['job_id']}-1") == "Running")


def test_an_expired_job_begins_anew_while_another_job_keeps_its_upload(host: Stack) -> None:
    job_id, source = ended_job(host)
    other = host.client.post("/api/v1/process", json={"blob": source.path, "prompt": "on snow"})
    assert other.status_code == 202
    wait_for(lambda: host.status(job_id)["expired_at"] is not None)
    assert store_of(host).exists(source)
    retry = host.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert (retry.status_code, retry.json()["expired_at"]) == (202, None)
    picture = f"/api/v1/jobs/{job_id}/images/guardrail"
    wait_for(lambda: host.client.get(picture, follow_redirects=True).status_code == 200)
