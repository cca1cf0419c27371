"""The guardrail's activity on real storage and a real database."""

from __future__ import annotations

import io
import threading
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image
from sqlmodel import select

from activities.finish_job import finish_job
from activities.guardrail import guardrail
from imagery.contracts import (
    JOBS,
    UPLOADS,
    BlobRef,
    FinishInput,
    JobOptions,
    JobRequest,
    JobState,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    stage_output,
)
from imagery.database.tables import GuardrailLog, utc_now
from imagery.guardrail.sandbox import SandboxError
from imagery.services import Services
from testbed.pictures import encoded


def photo(size: tuple[int, int] = (90, 60), **save: Any) -> bytes:
    return encoded("JPEG", size=size, **save)


def make_job(services: Services, source: BlobRef) -> str:
    request = JobRequest(job_id=str(uuid.uuid4()), source=source, owner_id="me")
    deadline = utc_now() + timedelta(hours=1)
    services.jobs.create(request, instance_id=f"{request.job_id}-1", deadline=deadline)
    return request.job_id


def message(job_id: str, *, late: bool = False) -> JsonObject:
    deadline = utc_now() + timedelta(hours=-1 if late else 1)
    return StageInput(job_id=job_id, run=1, stage=Stage.GUARDRAIL, deadline=deadline).to_json()


def test_an_admitted_photo_is_kept_upright_and_without_metadata(services: Services) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(exif=exif), "image/jpeg")
    job_id = make_job(services, ref)
    assert guardrail(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    data = services.storage.read(stage_output(job_id, Stage.GUARDRAIL))
    with Image.open(io.BytesIO(data)) as clean:
        assert (clean.size, clean.format) == ((60, 90), "PNG")
        assert not clean.getexif()
    assert b"taken at home" not in data


def test_a_blob_that_vanished_before_its_turn_fails_the_job(services: Services) -> None:
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    job_id = make_job(services, ref)
    services.storage.delete(ref)
    answer = guardrail(message(job_id))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.FAILED, "source_not_found")
    finish_job(FinishInput(job_id=job_id, run=1, state=JobState.FAILED, stage=Stage.GUARDRAIL).to_json())
    job = services.jobs.get(job_id)
    assert job is not None
    assert (job.state, job.stage, job.error_code) == (JobState.FAILED, "guardrail", "source_not_found")


def test_a_blob_that_was_overwritten_fails_the_old_job(services: Services) -> None:
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    job_id = make_job(services, ref)
    services.storage.write(BlobRef(container=UPLOADS, name="x"), photo((80, 80)), "image/jpeg")
    assert guardrail(message(job_id))["error_code"] == "source_changed"


def test_the_same_activity_twice_works_once(services: Services) -> None:
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    job_id = make_job(services, ref)
    first, second = guardrail(message(job_id)), guardrail(message(job_id))
    assert first["output"] == second["output"]
    view = services.jobs.view(job_id)
    assert view is not None
    assert view.stages[0].attempt == 1


def test_a_job_past_its_deadline_fails(services: Services) -> None:
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    answer = guardrail(message(make_job(services, ref), late=True))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.FAILED, "deadline_exceeded")


def test_a_cancelled_job_does_nothing(services: Services) -> None:
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    job_id = make_job(services, ref)
    services.jobs.cancel(job_id)
    assert guardrail(message(job_id))["outcome"] == StageOutcome.CANCELLED
    assert not services.storage.exists(stage_output(job_id, Stage.GUARDRAIL))


def test_an_upload_over_the_limit_is_refused_unread_and_logged(services: Services) -> None:
    data = photo() + bytes(services.settings.guardrail.max_upload_bytes)
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), data, "image/jpeg")
    job_id = make_job(services, ref)
    answer = guardrail(message(job_id))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.REJECTED, "file_too_large")
    with services.database.read() as session:
        (row,) = session.exec(select(GuardrailLog)).all()
    assert (row.job_id, row.verdict, row.code, row.size_bytes) == (
        job_id,
        "rejected",
        "file_too_large",
        len(data),
    )


def test_what_was_examined_at_the_door_is_not_examined_again(services: Services) -> None:
    data = encoded("PNG")
    ref = services.storage.write(BlobRef(container=JOBS, name="job/source-1.png"), data, "image/png")
    job_id = make_job(services, ref)
    assert guardrail(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert services.storage.read(stage_output(job_id, Stage.GUARDRAIL)) == data
    assert services.guardrail.sandbox.pids == [], "no worker was needed"


@pytest.mark.slow
def test_a_busy_guardrail_makes_the_job_wait(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("GUARDRAIL_SANDBOX", "workers=1 queue=0")
    services: Services = request.getfixturevalue("services")
    ref = services.storage.write(BlobRef(container=UPLOADS, name="x"), photo(), "image/jpeg")
    job_id = make_job(services, ref)
    large = encoded("PNG", size=(4000, 3000), compress_level=1)
    started = threading.Event()

    def keep_busy() -> None:
        while not started.is_set():
            with suppress(SandboxError):
                services.guardrail.examine(large, None, JobOptions())

    busy = threading.Thread(target=keep_busy)
    busy.start()
    time.sleep(0.2)
    try:
        outcomes = {guardrail(message(job_id))["outcome"] for _ in range(20)}
    finally:
        started.set()
        busy.join()
    assert StageOutcome.RETRY_LATER in outcomes
    assert outcomes <= {StageOutcome.RETRY_LATER, StageOutcome.SUCCEEDED}
