"""What the app has to do on a real host: one function a scenario, each with the outcome that is right."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from drills.functions_host.gateway import REMBG, UPSCALE, gaps_s
from drills.functions_host.report import Report
from drills.functions_host.world import Site
from imagery.contracts import BlobRef, JobState
from lifecycle.instances import instance_id_of

_LIMIT_S = 120.0
_BLOBS = "/runtime/webhooks/blobs"
_DURABLE = "/runtime/webhooks/durabletask/instances"
_QUICK_JOBS = 3
_BATCH = 20
_ENDED_BEFORE_CANCEL = 3
# what is on its way when a job is suspended comes in within this time
_SUSPENDED_S = 4.0
# as many activities as host.json admits at once, and more jobs than that
_ACTIVITIES, _BEFORE = 8, 12
_HELD_S = 15.0
_FIRST_STEP_S = 10.0
# the least that the app waits for a service that asks for one second
_LEAST_WAIT_S = 1.0


def by_http(site: Site, report: Report, idle_s: float) -> None:
    """Jobs by ``POST /process``, one after the other; what they and an idle minute ask of storage."""
    before, begun = site.requests.count(), time.monotonic()
    time.sleep(idle_s)
    idle = (site.requests.count() - before) / (time.monotonic() - begun)
    before, begun = site.requests.count(), time.monotonic()
    for _ in range(_QUICK_JOBS):
        _completes(site, report, "by_http", site.submit())
    asked, took_s = site.requests.count() - before, time.monotonic() - begun
    report.tell(
        "by_http",
        transactions_per_job=round(asked / _QUICK_JOBS),
        transactions_per_idle_minute=round(idle * 60),
        seconds_per_job=round(took_s / _QUICK_JOBS, 2),
    )


def by_polling(site: Site, report: Report) -> None:
    """A blob in ``uploads``, found by the host's own polling."""
    begun = time.monotonic()
    job_id = site.job_of(site.upload())
    _completes(site, report, "by_polling", job_id)
    report.tell("by_polling", seconds=round(time.monotonic() - begun, 1))


def by_event_grid(site: Site, report: Report) -> None:
    """The handshake of Event Grid's webhook, then a blob and its event."""
    code = uuid.uuid4().hex
    handshake = _send_event(
        site,
        "SubscriptionValidation",
        _event("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationCode": code}),
    )
    met = handshake.status_code == 200 and code in handshake.text
    report.expect(met, f"by_event_grid: the handshake got {handshake.status_code} {handshake.text[:200]}")
    blob = site.upload()
    job_id = site.job_of(blob)
    begun = time.monotonic()
    url = f"http://127.0.0.1:{site.azurite.blob_port}/devstoreaccount1/{blob.path}"
    data = {
        "api": "PutBlob",
        "contentType": "image/jpeg",
        "blobType": "BlockBlob",
        "url": url,
        "eTag": blob.etag,
    }
    answer = _send_event(site, "Notification", _event("Microsoft.Storage.BlobCreated", data, blob))
    report.expect(answer.is_success, f"by_event_grid: the event got {answer.status_code} {answer.text[:200]}")
    _completes(site, report, "by_event_grid", job_id)
    report.tell("by_event_grid", seconds=round(time.monotonic() - begun, 1))


def failing_gpu(site: Site, report: Report) -> None:
    """The GPU service fails twice and has no replica once, then it works: the job completes."""
    site.gateway.fail(500, 503, 500)
    job_id = site.submit()
    _completes(site, report, "failing_gpu", job_id)
    calls = site.gateway.calls_of(job_id, REMBG)
    report.expect(len(calls) == 4, f"failing_gpu: {len(calls)} calls, not 4")
    report.tell("failing_gpu", calls=len(calls), gaps_s=gaps_s(calls))


def busy_gpu(site: Site, report: Report, busy_s: float) -> None:
    """Every call gets 429 with ``Retry-After: 1`` for a while: the job waits, and completes."""
    with site.gateway.busy():
        begun = time.monotonic()
        job_id = site.submit()
        while time.monotonic() < begun + busy_s and not _has_ended(site, job_id):
            time.sleep(1)
        waited_s = time.monotonic() - begun
    status = _completes(site, report, "busy_gpu", job_id)
    calls = site.gateway.calls_of(job_id, REMBG)
    gaps = gaps_s(calls)
    report.expect(
        gaps["shortest"] >= _LEAST_WAIT_S,
        f"busy_gpu: asked again after {gaps['shortest']} s (median {gaps['median']} s)",
    )
    report.tell(
        "busy_gpu", busy_s=round(waited_s), calls=len(calls), gaps_s=gaps, end=status and status["state"]
    )


def first_step(site: Site, report: Report) -> None:
    """Jobs whose GPU calls take long keep no thread that another job's orchestrator needs."""
    holds = [site.gateway.hold(REMBG) for _ in range(_ACTIVITIES)]
    job_ids = [site.submit() for _ in range(_BEFORE)]
    until = time.monotonic() + _HELD_S
    while time.monotonic() < until and not all(hold.job_id for hold in holds):
        time.sleep(0.05)
    held = sum(hold.job_id is not None for hold in holds)
    begun = time.monotonic()
    last = site.submit()
    instance = f"{_DURABLE}/{instance_id_of(last, 1)}"
    while time.monotonic() < begun + _FIRST_STEP_S and _runtime_status(site, instance) != "Running":
        time.sleep(0.02)
    waited_s = time.monotonic() - begun
    for hold in holds:
        hold.release()
    ends = site.wait_for_end([*job_ids, last], _LIMIT_S)
    completed = sum(each["state"] == JobState.COMPLETED for each in ends.values())
    report.expect(waited_s < _FIRST_STEP_S, f"first_step: it did not come within {_FIRST_STEP_S:g} s")
    report.expect(completed == _BEFORE + 1, f"first_step: {completed} of {_BEFORE + 1} completed")
    report.tell("first_step", gpu_calls_out=held, jobs_before=_BEFORE, seconds=round(waited_s, 2))


def chunked_body(site: Site, report: Report) -> None:
    """A body without a Content-Length, which a real host does not hand to the app: 411."""

    def body() -> Iterator[bytes]:
        yield b'{"blob": "uploads/none.jpg"}'

    headers = {"Content-Type": "application/json"}
    answer = site.stack.client.post("/api/v1/process", content=body(), headers=headers)
    report.expect(answer.status_code == 411, f"chunked_body: {answer.status_code}, not 411")
    report.tell("chunked_body", status=answer.status_code, code=_code(answer))


def batch(site: Site, report: Report) -> None:
    """A batch of 20 that runs to its end."""
    begun = time.monotonic()
    batch_id, job_ids = _start_batch(site)
    states = [each["state"] for each in site.wait_for_end(job_ids, _LIMIT_S * 2).values()]
    completed = states.count(JobState.COMPLETED)
    report.expect(completed == _BATCH, f"batch {batch_id}: {completed} of {_BATCH} completed")
    report.tell("batch", completed=completed, seconds=round(time.monotonic() - begun, 1))


def cancelled_batch(site: Site, report: Report) -> None:
    """A batch of 20 that is cancelled on its way: what has not begun is never paid."""
    batch_id, job_ids = _start_batch(site)
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        if site.stack.client.get(f"/api/v1/batches/{batch_id}").json()["ended"] >= _ENDED_BEFORE_CANCEL:
            break
        time.sleep(0.1)
    answer = site.stack.client.post(f"/api/v1/batches/{batch_id}/cancel")
    report.expect(answer.status_code == 200, f"cancelled_batch: {answer.status_code} {answer.text[:200]}")
    states = [each["state"] for each in site.wait_for_end(job_ids, _LIMIT_S).values()]
    cancelled, completed = states.count(JobState.CANCELLED), states.count(JobState.COMPLETED)
    ended = cancelled + completed == _BATCH
    report.expect(ended and cancelled > 0, f"cancelled_batch: {completed} completed, {cancelled} cancelled")
    report.tell("cancelled_batch", completed=completed, cancelled=cancelled)


def suspend_and_resume(site: Site, report: Report) -> None:
    """An operator suspends an orchestration: it makes no step until it is resumed."""
    hold = site.gateway.hold(REMBG)
    job_id = site.submit()
    _wait(lambda: hold.job_id is not None)
    instance = f"{_DURABLE}/{instance_id_of(job_id, 1)}"
    answers = [site.stack.client.post(f"{instance}/suspend?reason=drill").status_code]
    _wait(lambda: _runtime_status(site, instance) == "Suspended")
    hold.release()
    time.sleep(_SUSPENDED_S)
    steps = len(site.gateway.calls_of(job_id, UPSCALE))
    report.expect(steps == 0, "suspend_and_resume: the suspended job went on")
    answers.append(site.stack.client.post(f"{instance}/resume?reason=drill").status_code)
    _completes(site, report, "suspend_and_resume", job_id)
    report.expect(answers == [202, 202], f"suspend_and_resume: {answers}")
    report.tell("suspend_and_resume", answers=answers, steps_while_suspended=steps)


def _start_batch(site: Site) -> tuple[str, list[str]]:
    items = [{"blob": site.upload().path} for _ in range(_BATCH)]
    answer = site.stack.client.post("/api/v1/batches", json={"items": items})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    job_ids = [each["job_id"] for each in body["jobs"]]
    site.jobs.extend(job_ids)
    return body["batch_id"], job_ids


def _completes(site: Site, report: Report, scenario: str, job_id: str) -> dict[str, Any] | None:
    status = site.wait_for_end([job_id], _LIMIT_S).get(job_id)
    shown = status and (status["state"], status["error"] and status["error"]["code"])
    met = status is not None and status["state"] == JobState.COMPLETED
    report.expect(met, f"{scenario}: {job_id} is {shown}, not COMPLETED")
    return status


def _has_ended(site: Site, job_id: str) -> bool:
    status = site.status(job_id)
    return status is not None and JobState(status["state"]).is_terminal


def _runtime_status(site: Site, instance: str) -> str | None:
    status: str | None = site.stack.client.get(instance).json().get("runtimeStatus")
    return status


def _send_event(site: Site, kind: str, event: dict[str, Any]) -> httpx.Response:
    query = {"functionName": "Host.Functions.uploads"}
    return site.stack.client.post(_BLOBS, params=query, headers={"aeg-event-type": kind}, json=[event])


def _event(kind: str, data: dict[str, Any], blob: BlobRef | None = None) -> dict[str, Any]:
    subject = f"/blobServices/default/containers/{blob.container}/blobs/{blob.name}" if blob else ""
    return {
        "id": uuid.uuid4().hex,
        "topic": "/subscriptions/drill",
        "subject": subject,
        "eventType": kind,
        "eventTime": datetime.now(UTC).isoformat(),
        "data": data,
        "dataVersion": "1",
        "metadataVersion": "1",
    }


def _code(answer: httpx.Response) -> str | None:
    try:
        code: str | None = answer.json().get("code")
    except ValueError:
        return None
    return code


def _wait(holds: Callable[[], bool]) -> None:
    """Raises ``TimeoutError`` after the limit."""
    until = time.monotonic() + _LIMIT_S
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.05)
