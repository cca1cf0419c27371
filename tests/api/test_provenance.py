"""What a file says of itself over HTTP; a hundred hostile manifests get an answer, and take no memory."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from fastapi import FastAPI

from activities.place import place
from api.app import create_app
from imagery.contracts import Stage, StageOutcome, stage_output
from imagery.principal import Role
from imagery.provenance.credentials import MAX_INGREDIENTS, MAX_TEXT, Credentials
from imagery.provenance.local_authority import local_signer
from imagery.provenance.signers import local_folder
from imagery.services import Services
from testbed.credentials import camera, camera_photo, one_byte_changed
from testbed.hostile_manifests import hostile_manifests
from testbed.pictures import encoded
from tests.activities.test_signing import make_job, order
from tests.api.test_app import call

BOUNDARY = b"b0a1c2d3e4f5"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
HEAD = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
_MB = 2**20


@pytest.fixture
def app(services: Services) -> Iterator[FastAPI]:
    yield create_app()
    services.guardrail.close()


def verify(app: FastAPI, data: bytes) -> httpx.Response:
    body = b"--" + BOUNDARY + b"\r\n" + HEAD + data + b"\r\n--" + BOUNDARY + b"--\r\n"
    return call(app, "POST", "/api/v1/provenance/verify", headers=FORM, content=body)


def test_a_picture_that_is_signed_here_is_trusted_here(app: FastAPI, services: Services) -> None:
    photo = camera_photo(local_signer(local_folder(services.settings)))
    found: dict[str, Any] = verify(app, photo).json()
    assert (found["state"], found["reasons"], found["ingredients"]) == ("trusted", [], [])
    assert found["manifest"]["signer"] == "Imagery TEST signer"
    assert found["manifest"]["actions"][0]["action"] == "c2pa.created"


@pytest.mark.parametrize("data", [b"", b"a text", encoded("TIFF"), encoded("GIF")])
def test_a_file_of_any_kind_gets_an_answer(app: FastAPI, data: bytes) -> None:
    answer = verify(app, data)
    assert (answer.status_code, answer.json()["state"]) == (200, "none")


@pytest.mark.slow
def test_a_hundred_hostile_manifests_get_an_answer_in_bounded_time_and_memory(
    app: FastAPI, services: Services
) -> None:
    assert verify(app, encoded()).status_code == 200
    host, states = psutil.Process(), Counter[str]()
    before, largest = host.memory_info().rss, 0
    for each in hostile_manifests():
        started = time.monotonic()
        answer = verify(app, each.data)
        assert answer.status_code == 200, each.name
        # the sandbox's own limit, twice for two attempts
        assert time.monotonic() - started < 2 * services.settings.guardrail.sandbox.timeout_s + 5, each.name
        found = Credentials.model_validate(answer.json())
        assert found.state != "trusted", each.name
        assert len(answer.content) < 64 * 1024, each.name
        assert len(found.ingredients) <= MAX_INGREDIENTS
        if found.manifest is not None:
            text = found.manifest.claim_generator or ""
            assert len(text) <= MAX_TEXT
            assert text.isprintable(), each.name
        states[found.state] += 1
        memory = [psutil.Process(pid).memory_info().rss for pid in services.guardrail.sandbox.pids]
        largest = max(largest, *memory)
    assert states.total() >= 100
    assert states["broken"] > 50
    assert largest < services.settings.guardrail.sandbox.memory_mb * _MB
    # what the host holds of each file is gone with it
    assert host.memory_info().rss - before < 200 * _MB


def test_a_job_says_what_its_delivered_picture_says(app: FastAPI, services: Services) -> None:
    job_id = make_job(services, str(uuid.uuid4()), camera_photo(camera()))
    path = f"/api/v1/jobs/{job_id}/provenance"
    headers = {"X-API-Key": services.users.create("ops", Role.OPERATOR)[1]}
    answer = call(app, "GET", path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "provenance_not_found")
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    found = call(app, "GET", path, headers=headers).json()
    assert (found["state"], found["manifest"]["signer"]) == ("valid", "Imagery TEST signer")
    assert {each["title"] for each in found["ingredients"]} == {"answer", "clean_photo", "photo"}


def test_a_broken_photo_is_said_to_be_broken_wherever_one_may_ask(app: FastAPI, services: Services) -> None:
    job_id = make_job(services, str(uuid.uuid4()), one_byte_changed(camera_photo(camera())))
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    headers = {"X-API-Key": services.users.create("ops", Role.OPERATOR)[1]}
    status = call(app, "GET", f"/api/v1/status/{job_id}", headers=headers).json()
    job = call(app, "GET", f"/api/v1/jobs/{job_id}/provenance", headers=headers).json()
    file = verify(app, services.storage.read(stage_output(job_id, Stage.NANO_BANANA))).json()
    assert status["credentials"] == job["state"] == file["state"] == "broken"
    assert "assertion.dataHash.mismatch" in job["reasons"]
    assert job == file
    assert job["manifest"]["state"] == "trusted", (
        "our own statement is good, and does not wash the photo clean"
    )


def test_a_picture_that_is_gone_is_not_one_that_is_still_to_come(app: FastAPI, services: Services) -> None:
    job_id = make_job(services, str(uuid.uuid4()))
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    path = f"/api/v1/jobs/{job_id}/provenance"
    headers = {"X-API-Key": services.users.create("ops", Role.OPERATOR)[1]}
    # retention deletes the pictures before it can record that
    services.storage.delete(stage_output(job_id, Stage.NANO_BANANA))
    answer = call(app, "GET", path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (410, "image_expired")
    status = call(app, "GET", f"/api/v1/status/{job_id}", headers=headers).json()
    assert status["credentials"] == "valid"
