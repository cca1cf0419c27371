"""The main job on the running stack: real models, real replay, the simulator instead of the paid API."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
from datetime import datetime
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient
from PIL import Image

from imagery.contracts import UPLOADS, BlobRef
from imagery.storage import LocalStorage
from testbed.stack import PHOTO, Stack
from tests.e2e.conftest import BOTH


def picture(stack: Stack, job_id: str, stage: str) -> Image.Image:
    answer = stack.client.get(f"/api/v1/jobs/{job_id}/images/{stage}", follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def upload(stack: Stack, name: str, data: bytes, content_type: str = "image/jpeg") -> None:
    """Put a blob into ``uploads`` as a user's own tool would."""
    connection = stack.environment["AzureWebJobsStorage"]
    if connection:
        service = BlobServiceClient.from_connection_string(connection)
        service.get_blob_client(UPLOADS, name).upload_blob(data, overwrite=True)
        return
    from pathlib import Path

    store = LocalStorage(Path(stack.environment["LOCAL_STORAGE_PATH"]))
    store.write(BlobRef(container=UPLOADS, name=name), data, content_type)


def job_of(stack: Stack, name: str, limit_s: float = 10) -> dict[str, object]:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        jobs = stack.client.get("/api/v1/jobs", params={"limit": 200}).json()["jobs"]
        found = [job for job in jobs if job["source"] == f"{UPLOADS}/{name}"]
        if found:
            assert len(found) == 1
            return dict(found[0])
        time.sleep(0.1)
    raise AssertionError(f"no job for {name}")


def log_lines(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    lines = [line for line in stack.host.log.read_text().splitlines() if job_id in line]
    return [json.loads(line) for line in lines if line.startswith("{")]


@BOTH
def test_a_photo_comes_back_cut_out_upscaled_and_placed(stack: Stack) -> None:
    photo = PHOTO.read_bytes()
    job_id = stack.submit(photo, prompt="on a marble counter")
    status = stack.wait_for_end(job_id)
    assert status["state"] == "COMPLETED", status
    assert (status["progress"], status["cost_usd"]) == (1.0, 0.08)
    assert [stage["state"] for stage in status["stages"]] == ["SUCCEEDED"] * 4
    with Image.open(io.BytesIO(photo)) as original:
        size = original.size
    cutout, upscaled = picture(stack, job_id, "rembg"), picture(stack, job_id, "realesrgan")
    placed = picture(stack, job_id, "nano_banana")
    saved = stack.client.get(
        f"/api/v1/jobs/{job_id}/images/nano_banana?download=1", follow_redirects=True
    ).headers
    assert saved["content-disposition"] == 'attachment; filename="photo-placed.png"'
    assert (cutout.size, cutout.mode) == (size, "RGBA")
    assert (upscaled.size, upscaled.mode) == ((size[0] * 4, size[1] * 4), "RGBA")
    low, high = cutout.getchannel("A").getextrema()
    assert (low, high) == (0, 255)
    assert placed.size == (1024, 1024)
    assert len(placed.convert("RGB").getcolors(2**24) or []) > 1000
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"]) == (1, 1)


# colour, and what a WebP says of its one frame
IMPERSONAL = {"icc_profile", "srgb", "background", "loop", "timestamp", "duration"}


def careless(photo: bytes) -> bytes:
    """The photo as a phone writes it: with a place, a name and a comment."""
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "taken at home", "Jane Doe"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 1.0)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as image:
        xmp = b"<x:xmpmeta>Jane Doe</x:xmpmeta>"
        image.save(buffer, "JPEG", exif=exif, comment=b"taken at home", xmp=xmp)
    return buffer.getvalue()


@BOTH
@pytest.mark.parametrize("way", ["form", "upload"])
def test_no_output_tells_where_or_by_whom_a_photo_was_taken(stack: Stack, photo: bytes, way: str) -> None:
    data = careless(photo)
    assert b"Jane Doe" in data
    if way == "form":
        job_id, stages = stack.submit(data), ["source"]
    else:
        name = f"{uuid.uuid4()}.jpg"
        upload(stack, name, data)
        job_id, stages = str(job_of(stack, name)["job_id"]), []
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    for stage in [*stages, "guardrail", "rembg", "realesrgan", "nano_banana"]:
        path = f"/api/v1/jobs/{job_id}/images/{stage}"
        for query in ({}, {"width": 64}):
            written = stack.client.get(path, params=query, follow_redirects=True).content
            assert b"Jane" not in written
            with Image.open(io.BytesIO(written)) as image:
                image.load()
                assert not image.getexif(), stage
                said = image.info.keys() - IMPERSONAL
                if stage == "nano_banana" and "xmp" in said:
                    # what made it, for those who don't read Content Credentials, and no more
                    assert re.findall(rb"\bIptc4xmpExt:(\w+)", image.info["xmp"]) == [b"DigitalSourceType"]
                    said -= {"xmp", "XML:com.adobe.xmp"}
                if stage == "nano_banana" and "Comment" in said:
                    # unsigned by us, so the provider's bytes with its own mark are not touched
                    assert image.info["Comment"].startswith("Simulated picture")
                    said -= {"Comment"}
                assert not said, stage


def test_every_log_line_of_a_job_has_the_agreed_keys(stack: Stack, photo: bytes) -> None:
    job_id = stack.submit(photo)
    stack.wait_for_end(job_id)
    lines = log_lines(stack, job_id)
    assert {line["event"] for line in lines} >= {
        "job_queued",
        "stage_started",
        "stage_finished",
        "job_completed",
    }
    for line in lines:
        assert {"timestamp", "level", "event", "job_id", "version", "stage"} <= line.keys()
    finished = [line for line in lines if line["event"] == "stage_finished"]
    assert [line["stage"] for line in finished] == ["guardrail", "rembg", "realesrgan", "nano_banana"]
    assert all(line["duration_ms"] > 0 for line in finished)


@BOTH
def test_an_upload_starts_its_job_soon(stack: Stack, photo: bytes) -> None:
    name = f"{uuid.uuid4()}/photo.jpg"
    started = time.monotonic()
    upload(stack, name, photo)
    job = job_of(stack, name)
    assert time.monotonic() - started < 20
    status = stack.wait_for_end(str(job["job_id"]))
    assert status["state"] == "COMPLETED", status


@pytest.mark.parametrize(
    ("output", "result", "scale", "mode"),
    [
        ("cutout", "rembg", 1, "RGBA"),
        ("upscaled_cutout", "realesrgan", 4, "RGBA"),
        ("upscaled", "realesrgan", 4, "RGB"),
    ],
)
def test_without_a_scene_nothing_is_paid_and_the_last_picture_is_the_result(
    stack: Stack, photo: bytes, output: str, result: str, scale: int, mode: str
) -> None:
    stack.bill_client.post("/_simulator/faults", json={"rate": 1, "kinds": ["dead_key"]}).raise_for_status()
    job_id = stack.submit(photo, output=output)
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["progress"], status["cost_usd"]) == ("COMPLETED", 1.0, 0.0), status
    assert status["links"]["result"].endswith(f"/images/{result}")
    with Image.open(io.BytesIO(photo)) as original:
        width, height = original.size
    made = picture(stack, job_id, result)
    assert (made.size, made.mode) == ((width * scale, height * scale), mode)
    assert stack.bill(job_id)["calls"] == 0


def test_the_same_key_is_the_same_job(stack: Stack, photo: bytes) -> None:
    key = uuid.uuid4().hex
    first = stack.submit(photo, key=key)
    assert stack.submit(photo, key=key) == first
    clash = stack.client.post(
        "/api/v1/process",
        files={"file": ("photo.jpg", photo, "image/jpeg")},
        data={"prompt": "another"},
        headers={"Idempotency-Key": key},
    )
    assert (clash.status_code, clash.json()["code"]) == (409, "idempotency_key_reused")
    assert stack.wait_for_end(first)["state"] == "COMPLETED"
    assert stack.bill(first)["calls"] == 1


def test_a_picture_without_a_subject_fails_at_rembg_and_costs_nothing(stack: Stack) -> None:
    noise = Image.effect_noise((256, 256), 40).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    job_id = stack.submit(buffer.getvalue())
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["stage"]) == ("FAILED", "rembg"), status
    assert status["error"]["code"] == "no_subject_found"
    assert stack.bill(job_id)["calls"] == 0


def test_two_503_are_retried_with_growing_waits_and_billed_once(stack: Stack, photo: bytes) -> None:
    stack.faults("503", "503")
    job_id = stack.submit(photo)
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["cost_usd"]) == ("COMPLETED", 0.08), status
    assert status["stages"][3]["attempt"] == 3
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"]) == (3, 1)
    waits = retry_waits(stack, job_id)
    assert len(waits) == 2
    assert waits[0] >= 0.5
    assert waits[1] >= 1.0


def retry_waits(stack: Stack, job_id: str) -> list[float]:
    """Seconds from each failed attempt of the paid stage to the next attempt, from the job's journal."""
    query = {"job_id": job_id, "stage": "nano_banana"}
    lines = stack.client.get("/api/v1/logs", params=query, headers={"Accept": "application/x-ndjson"})
    events = [json.loads(line) for line in lines.text.splitlines()]
    at = {
        name: [datetime.fromisoformat(event["timestamp"]) for event in events if event["event"] == name]
        for name in ("stage_waiting", "stage_started")
    }
    pairs = zip(at["stage_waiting"], at["stage_started"][1:], strict=True)
    return [(again - failed).total_seconds() for failed, again in pairs]


def test_a_server_given_wait_is_kept(stack: Stack, photo: bytes) -> None:
    stack.faults("429", retry_delay_s=2)
    job_id = stack.submit(photo)
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"]) == (2, 1)
    assert bill["at"][1] - bill["at"][0] >= 2


@pytest.mark.parametrize("fault", ["timeout_after_billing", "broken_connection", "malformed_json"])
def test_a_lost_answer_is_never_paid_again(stack: Stack, photo: bytes, fault: str) -> None:
    stack.faults(fault)
    job_id = stack.submit(photo)
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["error"]["code"]) == ("FAILED", "payment_unknown"), status
    retry = stack.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert (retry.status_code, retry.json()["code"]) == (409, "payment_unknown")
    assert stack.bill(job_id)["calls"] == 1


@pytest.mark.parametrize(
    ("fault", "code"), [("safety", "nano_banana_safety"), ("text_only", "nano_banana_no_image")]
)
def test_a_refusal_of_the_model_is_told_and_can_be_retried(
    stack: Stack, photo: bytes, fault: str, code: str
) -> None:
    stack.faults(fault)
    job_id = stack.submit(photo)
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["error"]["code"], status["cost_usd"]) == ("FAILED", code, 0.0), status
    assert stack.client.post(f"/api/v1/jobs/{job_id}/retry").status_code == 202
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["run"], status["stages"][1]["attempt"]) == ("COMPLETED", 2, 1)
    assert stack.bill(job_id)["billed"] == 1


def test_a_cancelled_job_never_pays(stack: Stack, photo: bytes) -> None:
    job_id = stack.submit(photo)
    cancelled = stack.client.post(f"/api/v1/jobs/{job_id}/cancel").json()
    assert cancelled["state"] == "CANCELLED"
    time.sleep(6)
    assert stack.status(job_id)["state"] == "CANCELLED"
    assert stack.bill(job_id)["calls"] == 0


@BOTH
def test_a_batch_reports_each_item_and_pays_for_none_twice(stack: Stack, photo: bytes) -> None:
    names = [f"batch-{uuid.uuid4()}.jpg" for _ in range(3)]
    for name in names:
        upload(stack, name, photo)
    items = [{"blob": f"{UPLOADS}/{name}"} for name in [*names, "missing.jpg", names[0]]]
    answer = stack.client.post("/api/v1/batches", json={"items": items})
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    refused = [(item["index"], item["code"]) for item in batch["refused"]]
    assert refused == [(3, "source_not_found"), (4, "duplicate_item")]
    for job in batch["jobs"]:
        assert stack.wait_for_end(job["job_id"], 240)["state"] == "COMPLETED"
        assert stack.bill(job["job_id"])["billed"] == 1
    done = stack.client.get(f"/api/v1/batches/{batch['batch_id']}").json()
    assert (done["items"], done["ended"], done["states"]) == (3, 3, {"COMPLETED": 3})
    for name in names:
        job_of(stack, name)  # the blob event and the batch made one job together


@BOTH
def test_an_upload_that_is_named_over_http_is_its_own_job(stack: Stack, photo: bytes) -> None:
    name = f"{uuid.uuid4()}.jpg"
    upload(stack, name, photo)
    job_id = job_of(stack, name)["job_id"]
    named = {"blob": f"{UPLOADS}/{name}"}
    again = stack.client.post("/api/v1/process", json=named)
    assert (again.status_code, again.json()["job_id"]) == (200, job_id)
    other = stack.client.post("/api/v1/process", json=named | {"prompt": "on snow"})
    assert other.status_code == 202
    assert other.json()["job_id"] != job_id
    repeated = stack.client.post("/api/v1/process", json=named | {"prompt": "on snow"})
    assert (repeated.status_code, repeated.json()["job_id"]) == (200, other.json()["job_id"])
    for each in (job_id, other.json()["job_id"]):
        assert stack.wait_for_end(str(each))["state"] == "COMPLETED"
