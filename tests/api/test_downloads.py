"""A picture is saved under the name of its photo, and the status says that name."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from imagery.contracts import JOBS, UPLOADS, BlobRef, JobOptions, JobRequest, Stage, stage_output
from imagery.database.tables import utc_now
from lifecycle.blob_requests import blob_request
from lifecycle.starter import create
from tests.api.test_prices import PICTURE, Door, door

__all__ = ["door"]


def job_with_pictures(door: Door, file_name: str | None, container: str = JOBS) -> str:
    storage, job_id = door.services.storage, f"job-{utc_now():%H%M%S%f}"
    name = f"{job_id}/source.png" if container == JOBS else f"{door.user.user_id}/t/{file_name}"
    source = storage.write(BlobRef(container=container, name=name), PICTURE, "image/png")
    create(JobRequest(job_id=job_id, source=source, owner_id=door.user.user_id, file_name=file_name))
    for stage in Stage:
        storage.write(stage_output(job_id, stage), PICTURE, "image/png")
    return job_id


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("source", "coffee.png"),
        ("guardrail", "coffee-clean.png"),
        ("rembg", "coffee-cutout.png"),
        ("realesrgan", "coffee-4x.png"),
        ("nano_banana", "coffee-placed.png"),
        ("nano_banana?width=32", "coffee-placed.webp"),
    ],
)
def test_each_picture_is_named_as_the_photo_and_what_it_is(door: Door, stage: str, name: str) -> None:
    job_id = job_with_pictures(door, "coffee.jpg")
    shown = door.call("GET", f"/jobs/{job_id}/images/{stage}")
    assert (shown.status_code, shown.headers["content-disposition"]) == (200, f'inline; filename="{name}"')
    saved = door.call("GET", f"/jobs/{job_id}/images/{stage}{'&' if '?' in stage else '?'}download=1")
    assert saved.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert saved.content == shown.content


def test_an_upload_keeps_its_own_name_and_a_photo_without_one_has_the_jobs(door: Door) -> None:
    own = job_with_pictures(door, "coffee.jpg", UPLOADS)
    nameless = job_with_pictures(door, None)
    headers = [
        door.call("GET", f"/jobs/{job_id}/images/{stage}?download=1").headers["content-disposition"]
        for job_id, stage in ((own, "source"), (nameless, "rembg"))
    ]
    assert headers == [f'attachment; filename="{name}"' for name in ("coffee.jpg", f"{nameless}-cutout.png")]
    assert door.call("GET", f"/status/{nameless}").json()["filename"] is None


def test_the_name_of_a_file_that_is_sent_is_kept(door: Door) -> None:
    name = "Tasse groß ☕.jpg"
    made = door.post("/process", files={"file": (name, PICTURE, "image/jpeg")}, data={"output": "cutout"})
    assert made.status_code == 202, made.text
    assert door.call("GET", f"/status/{made.json()['job_id']}").json()["filename"] == name
    job_id = job_with_pictures(door, name)
    saved = door.call("GET", f"/jobs/{job_id}/images/rembg?download=1").headers["content-disposition"]
    assert saved.endswith(f"; filename*=UTF-8''{quote('Tasse groß ☕-cutout.png')}")


def test_the_name_that_a_link_was_asked_for_is_kept(door: Door) -> None:
    services, owner = door.services, door.user.user_id
    blob = services.storage.write(
        BlobRef(container=UPLOADS, name=f"{owner}/batch-1/Tasse-gro-.jpg"), PICTURE, "image/jpeg"
    )
    plain = create(blob_request(blob, JobOptions()))[0]
    services.tickets.add(
        "batch-2",
        owner_id=owner,
        blob_name=f"{owner}/batch-2/Tasse-gro-.jpg",
        file_name="Tasse groß.jpg",
        size_bytes=1,
        content_type="image/jpeg",
        options=JobOptions(),
        callback_url=None,
        lifetime=services.settings.job_deadline,
    )
    other = services.storage.write(
        BlobRef(container=UPLOADS, name=f"{owner}/batch-2/Tasse-gro-.jpg"), PICTURE, "image/jpeg"
    )
    made = door.post("/batches", json={"items": [{"blob": other.path}]}).json()
    assert [each["filename"] for each in made["jobs"]] == ["Tasse groß.jpg"]
    assert plain.file_name == "Tasse-gro-.jpg"
