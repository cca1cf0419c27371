"""Bad input gets a clear problem, and no job is ever left RUNNING by it."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from PIL import Image

from testbed.stack import Stack
from tests.e2e.test_pipeline import job_of, upload


def jpeg(size: tuple[int, int] = (400, 300)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 128, 255)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


BAD_FILES: dict[str, tuple[bytes, int, str]] = {
    "text": (b"this is no image", 415, "unsupported_image_type"),
    "gif": (b"GIF89a" + b"\0" * 100, 415, "unsupported_image_type"),
    "truncated": (jpeg()[:5000], 422, "truncated_image"),
    "empty": (b"", 422, "empty_file"),
    "tiny": (jpeg((8, 8)), 422, "image_too_small"),
    "animated": (animation(), 422, "too_many_frames"),
}


def problem(answer: Any) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= body.keys()
    assert body["status"] == answer.status_code
    return body


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_refused_at_the_door(stack: Stack, kind: str) -> None:
    data, status, code = BAD_FILES[kind]
    answer = stack.client.post("/api/v1/process", files={"file": ("x.jpg", data, "image/jpeg")})
    assert (answer.status_code, problem(answer)["code"]) == (status, code)


@pytest.mark.parametrize("kind", BAD_FILES)
def test_the_job_of_a_bad_upload_is_rejected_with_the_reason(stack: Stack, kind: str) -> None:
    data, _, code = BAD_FILES[kind]
    name = f"{uuid.uuid4()}.jpg"
    upload(stack, name, data)
    status = stack.wait_for_end(str(job_of(stack, name)["job_id"]))
    assert (status["state"], status["error"]["code"]) == ("REJECTED", code), status
    assert stack.bill(status["job_id"])["calls"] == 0


def too_many_bytes(stack: Stack) -> int:
    return int(stack.client.get("/api/v1/guardrail/limits").json()["max_bytes"]) + 1024 * 1024


def test_a_body_over_the_limit_is_refused(stack: Stack) -> None:
    data = jpeg() + b"\0" * too_many_bytes(stack)
    answer = stack.client.post("/api/v1/process", files={"file": ("x.jpg", data, "image/jpeg")})
    assert answer.status_code == 413
    assert problem(answer)["code"] in {"body_too_large", "file_too_large"}


def test_an_upload_over_the_limit_is_rejected(stack: Stack) -> None:
    name = f"{uuid.uuid4()}.jpg"
    upload(stack, name, jpeg() + b"\0" * too_many_bytes(stack))
    status = stack.wait_for_end(str(job_of(stack, name)["job_id"]))
    assert (status["state"], status["error"]["code"]) == ("REJECTED", "file_too_large")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("text/plain", b"hello", 415, "unsupported_media_type"),
        ("application/json", b"{not json", 400, "invalid_json"),
        ("application/json", b"[1]", 422, "validation_error"),
        ("application/json", b"{}", 422, "missing_field"),
        ("application/json", b'{"blob": "uploads/../jobs/x"}', 422, "invalid_blob_name"),
        ("application/json", b'{"blob": "jobs/x"}', 422, "invalid_blob_name"),
        ("application/json", b'{"blob": "uploads/nothing-there"}', 404, "source_not_found"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422, "missing_file"),
        ("multipart/form-data", b"no boundary", 400, "bad_request"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    stack: Stack, content_type: str, body: bytes, status: int, code: str
) -> None:
    answer = stack.client.post("/api/v1/process", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, problem(answer)["code"]) == (status, code)


def test_a_page_declared_as_such_is_refused(stack: Stack) -> None:
    answer = stack.client.post("/api/v1/process", files={"file": ("x.html", jpeg(), "text/html")})
    assert (answer.status_code, problem(answer)["code"]) == (415, "content_type_mismatch")


def test_bad_options_name_their_field(stack: Stack) -> None:
    answer = stack.client.post(
        "/api/v1/process",
        files={"file": ("x.jpg", jpeg(), "image/jpeg")},
        data={"aspect_ratio": "7:5", "prompt": "x" * 3000},
    )
    body = problem(answer)
    assert answer.status_code == 422
    assert [error["field"] for error in body["errors"]] == ["aspect_ratio"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/status/nobody", "job_not_found"),
        ("/api/v1/jobs/nobody/images/rembg", "job_not_found"),
        ("/api/v1/batches/nobody", "batch_not_found"),
        ("/api/v1/logs?job_id=nobody", "job_not_found"),
        ("/api/v1/nothing", "not_found"),
        ("/api/v1/status/%00", "job_not_found"),
        ("/api/v1/batches/%00", "batch_not_found"),
        ("/api/v1/logs?job_id=%00", "job_not_found"),
    ],
)
def test_what_does_not_exist_is_404(stack: Stack, path: str, code: str) -> None:
    answer = stack.client.get(path)
    assert (answer.status_code, problem(answer)["code"]) == (404, code)
