"""Callers choose what is made: at every entrance, with its price, its stages and its result."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from imagery.contracts import BlobRef, ImageSize, JobOptions, JobOutput, JobState, Stage, stage_output
from imagery.database.tables import ImageJob, UploadTicket
from imagery.job_ids import upload_job_id
from tests.api.test_prices import PICTURE, Door, door
from tests.lifecycle.jobs import begin, make_job

__all__ = ["door"]

FILE = {"file": ("p.jpg", PICTURE, "image/jpeg")}
FREE = [output.value for output in JobOutput if not output.has_scene]


def kept(door: Door, job_id: str) -> JobOptions:
    job = door.services.jobs.get(job_id)
    assert job is not None
    return JobOptions.from_json(job.options)


def test_every_entrance_takes_the_choice(door: Door) -> None:
    sent = door.post("/process", files=FILE, data={"output": "cutout"})
    named = door.post("/process", json={"blob": door.upload(), "output": "upscaled"})
    items = [{"blob": door.upload("a.jpg"), "output": "upscaled_cutout"}, {"blob": door.upload("b.jpg")}]
    batch = door.post("/batches", json={"items": items})
    assert [each.status_code for each in (sent, named, batch)] == [202] * 3, batch.text
    assert batch.json()["estimated_usd"] == 0.134, "of the item with a scene"
    made = [sent.json()["job_id"], named.json()["job_id"], *(each["job_id"] for each in batch.json()["jobs"])]
    assert [kept(door, job_id).output.value for job_id in made] == [
        "cutout",
        "upscaled",
        "upscaled_cutout",
        "scene",
    ]
    upload = {"filename": "p.jpg", "content_type": "image/jpeg", "size": 1000, "output": "cutout"}
    answer = door.post("/uploads", json=upload)
    assert answer.status_code in {201, 409}, "files have no links"
    with door.services.database.read() as session:
        assert {each.options["output"] for each in session.exec(select(UploadTicket))} <= {"cutout"}


def test_another_output_is_another_job(door: Door) -> None:
    blob = BlobRef(container="uploads", name="x", etag="1")
    ids = {output: upload_job_id(blob, JobOptions(output=output)) for output in JobOutput}
    assert len(set(ids.values())) == len(JobOutput)
    assert ids[JobOutput.SCENE] == upload_job_id(blob, JobOptions()), "as in earlier versions"
    key = {"Idempotency-Key": "k"}
    first = door.post("/process", files=FILE, data={"output": "cutout"}, headers=key)
    assert door.post("/process", files=FILE, data={"output": "cutout"}, headers=key).status_code == 200
    other = door.post("/process", files=FILE, headers=key)
    assert (first.status_code, other.status_code) == (202, 409)


@pytest.mark.parametrize("output", FREE)
def test_without_a_scene_it_is_free(door: Door, output: str) -> None:
    quote = door.post("/quote", json={"output": output, "count": 100}).json()
    assert (quote["price_usd"], quote["total_usd"], quote["fits"]) == (0.0, 0.0, True)
    made = door.post("/process", files=FILE, data={"output": output, "max_usd": "0"})
    assert made.status_code == 202, made.text
    shown = door.call("GET", f"/status/{made.json()['job_id']}").json()
    assert (shown["output"], shown["estimated_usd"], shown["cost_usd"]) == (output, 0.0, 0.0)
    assert door.post("/quote", json={}).json()["remaining_usd"] == 1.0, "nothing is set aside for it"


def test_a_user_without_money_can_have_what_is_free(door: Door) -> None:
    door.paid(door.user.user_id, ImageSize.K1, 134_000)
    door.services.users.change("ann", usd_per_day=0.1)
    made = [door.post("/process", files=FILE, data=each) for each in ({}, {"output": "cutout"})]
    assert [each.status_code for each in made] == [402, 202]


@pytest.mark.parametrize(
    "given", [{"prompt": "on snow"}, {"image_size": "4K"}, {"aspect_ratio": "16:9"}, {"seed": 7}]
)
def test_what_describes_a_scene_needs_one(door: Door, given: dict[str, Any]) -> None:
    (name,) = given
    answers = [
        door.post("/process", files=FILE, data={"output": "cutout", **{name: str(given[name])}}),
        door.post("/process", json={"blob": door.upload(), "output": "cutout", **given}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "no_scene")
        assert f"has no scene, so it takes no {name}" in answer.json()["detail"]
    items = [{"blob": door.upload("a.jpg"), "output": "cutout", **given}, {"blob": door.upload("b.jpg")}]
    (refused,) = door.post("/batches", json={"items": items}).json()["refused"]
    assert (refused["index"], refused["code"]) == (0, "no_scene")
    with door.services.database.read() as session:
        assert len(session.exec(select(ImageJob)).all()) == 1


@pytest.mark.parametrize(
    ("output", "stages"),
    [
        ("scene", ["guardrail", "rembg", "realesrgan", "nano_banana"]),
        ("cutout", ["guardrail", "rembg"]),
        ("upscaled_cutout", ["guardrail", "rembg", "realesrgan"]),
        ("upscaled", ["guardrail", "realesrgan"]),
    ],
)
def test_the_status_has_its_stages_and_the_last_ones_picture(
    door: Door, output: str, stages: list[str]
) -> None:
    services, owner = door.services, door.user.user_id
    job = make_job(services, owner_id=owner, options=JobOptions(output=JobOutput(output)))
    for number, name in enumerate(stages):
        shown = door.call("GET", f"/status/{job.job_id}").json()
        assert [each["stage"] for each in shown["stages"]] == stages
        assert shown["progress"] == pytest.approx(number / len(stages))
        assert shown["links"]["result"] is None
        begin(services, job, Stage(name))
        target = services.storage.write(stage_output(job.job_id, Stage(name)), PICTURE, "image/png")
        services.stages.succeed(job.job_id, Stage(name), target)
    services.jobs.finish(job.job_id, 1, JobState.COMPLETED)
    shown = door.call("GET", f"/status/{job.job_id}").json()
    assert (shown["state"], shown["progress"]) == ("COMPLETED", 1.0)
    assert shown["links"]["result"] == f"/api/v1/jobs/{job.job_id}/images/{stages[-1]}"
    small = door.call("GET", f"/jobs/{job.job_id}/images/{stages[-1]}?width=32")
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    said = door.call("GET", f"/jobs/{job.job_id}/provenance")
    assert (said.status_code, said.json()["state"]) == (200, "none")
