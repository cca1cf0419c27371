"""Thumbnails of what a stranger has uploaded, whatever it is."""

from __future__ import annotations

import uuid
from datetime import timedelta

import httpx
import pytest

from api.app import create_app
from api.v1.jobs import PictureName
from drills.hostile.inputs import flat
from imagery.contracts import UPLOADS, BlobRef, JobRequest, Stage, stage_output
from imagery.database.tables import utc_now
from imagery.principal import Role
from imagery.services import Services
from testbed.pictures import encoded
from tests.api.test_app import call


def thumbnail_of(services: Services, data: bytes, stage: PictureName = PictureName.SOURCE) -> httpx.Response:
    """The answer for a job whose upload, and each of whose pictures, is ``data``."""
    source = BlobRef(container=UPLOADS, name="photo.png")
    services.storage.write(source, data, "image/png")
    user, key = services.users.create(uuid.uuid4().hex, Role.USER)
    request = JobRequest(job_id=str(uuid.uuid4()), source=source, owner_id=user.user_id)
    deadline = utc_now() + timedelta(hours=1)
    services.jobs.create(request, instance_id=f"{request.job_id}-1", deadline=deadline)
    for made in (Stage.REMBG, Stage.REALESRGAN):
        services.storage.write(stage_output(request.job_id, made), data, "image/png")
    path = f"/api/v1/jobs/{request.job_id}/images/{stage.value}?width=32"
    return call(create_app(), "GET", path, headers={"X-API-Key": key})


def test_a_picture_has_one(services: Services) -> None:
    answer = thumbnail_of(services, encoded())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")


@pytest.mark.parametrize("stage", [PictureName.REMBG, PictureName.REALESRGAN])
def test_a_stages_picture_has_one_too(services: Services, stage: PictureName) -> None:
    assert thumbnail_of(services, encoded("PNG"), stage).status_code == 200


@pytest.mark.parametrize("kind", ["bomb", "longer than may be uploaded", "no picture"])
def test_what_the_guardrail_refuses_has_none(services: Services, kind: str) -> None:
    longest = services.settings.guardrail.max_upload_bytes
    data = {
        "bomb": lambda: flat(8192, 8192),
        "longer than may be uploaded": lambda: encoded() + bytes(longest),
        "no picture": lambda: b"<html>",
    }[kind]()
    answer = thumbnail_of(services, data)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_thumbnail")
