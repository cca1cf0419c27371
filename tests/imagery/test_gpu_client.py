"""What each answer of the GPU service means to the pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imagery.contracts import BlobRef, GpuHealth, GpuRequest, GpuTicket
from imagery.environment import read
from imagery.gpu_client import (
    GpuBusyError,
    GpuClient,
    GpuError,
    GpuFailedError,
    GpuNoReplicaError,
    GpuRejectedError,
    GpuWorkingError,
)
from imagery.settings import Settings
from testbed.ports import free_port
from testbed.servers import Server

ORDER = GpuRequest(
    job_id="j", source=BlobRef(container="jobs", name="a"), target=BlobRef(container="jobs", name="b")
)
REPORT = {
    "output": {"container": "jobs", "name": "b"},
    "width": 4,
    "height": 4,
    "duration_ms": 1.0,
    "vram_used_gb": 0.0,
    "vram_peak_gb": 0.0,
    "device": "cpu",
    "model": "m",
}


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


class Answers:
    """Answers every call with what the test put in, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, json.dumps(REPORT)
        self.headers: dict[str, str] = {}
        self.delay_s = 0.0
        self.asked: list[dict[str, str]] = []

    async def __call__(self, request: Request) -> Response:
        import asyncio

        self.asked.append(dict(request.headers))
        await asyncio.sleep(self.delay_s)
        return Response(self.body, self.status, headers=self.headers, media_type="application/json")

    def problem(self, status: int, code: str, **headers: str) -> None:
        body = {"title": "t", "status": status, "detail": "why", "code": code}
        self.status, self.body, self.headers = status, json.dumps(body), headers


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def client(answers: Answers) -> Iterator[GpuClient]:
    async def endpoint(request: Request) -> Response:
        return await answers(request)

    server = Server(Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "POST", "DELETE"])]))
    yield GpuClient(read(Settings, {"GPU_SERVICE_URL": server.url, "GPU_RETRY": "timeout_s=1"}))
    server.stop()


def error_of(client: GpuClient) -> GpuError:
    with pytest.raises(GpuError) as caught:
        client.upscale(ORDER, soon())
    return caught.value


def test_a_report_comes_back_and_the_deadline_goes_out(client: GpuClient, answers: Answers) -> None:
    deadline = soon()
    report = client.remove_background(ORDER, deadline)
    assert (report.width, report.model) == (4, "m")
    asked = answers.asked[0]
    assert asked["x-job-id"] == "j"
    assert abs(float(asked["x-deadline"]) - deadline.timestamp()) < 0.01, "the job's own, not the call's"
    assert asked["prefer"] == "wait=0", "a call of one second has no time to wait"


def test_work_that_goes_on_is_found_again_by_its_ticket(client: GpuClient, answers: Answers) -> None:
    progress = {"stage": "realesrgan", "work_id": "w1", "tiles_done": 3, "tiles_total": 8, "expected_s": 41.0}
    answers.status, answers.body = 202, json.dumps(progress)
    answers.headers = {"Retry-After": "41", "Set-Cookie": "acaAffinity=r1; Path=/; HttpOnly"}
    error = error_of(client)
    assert isinstance(error, GpuWorkingError)
    assert (error.retry_after_s, error.ticket) == (41, GpuTicket(work_id="w1", cookie="acaAffinity=r1"))
    assert "3 of 8 tiles" in error.message
    answers.headers = {}
    with pytest.raises(GpuWorkingError) as again:
        client.upscale(ORDER, soon(), error.ticket)
    assert again.value.ticket == error.ticket, "ingress need not set it again"
    client.progress("j", error.ticket)
    assert client.cancel("j", error.ticket)
    error_of(client)
    cookies = [asked.get("cookie") for asked in answers.asked]
    assert cookies == [None, *["acaAffinity=r1"] * 3, None], "another job goes to any replica"


def test_progress_that_can_not_be_read_is_a_failure(client: GpuClient, answers: Answers) -> None:
    answers.status, answers.body = 202, "[]"
    assert error_of(client).code == "gpu_bad_answer"


MEANINGS: list[tuple[int, str, type[GpuError], bool]] = [
    (422, "no_subject_found", GpuRejectedError, False),
    (422, "invalid_image", GpuRejectedError, False),
    (404, "source_not_found", GpuRejectedError, False),
    (413, "image_too_large", GpuRejectedError, False),
    (400, "bad_request", GpuRejectedError, False),
    (507, "gpu_out_of_memory", GpuFailedError, False),
    (503, "model_unavailable", GpuFailedError, False),
    (503, "storage_unavailable", GpuFailedError, True),
    (504, "deadline_exceeded", GpuFailedError, True),
    (500, "internal_error", GpuFailedError, True),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), MEANINGS)
def test_a_problem_means_what_its_code_says(
    client: GpuClient, answers: Answers, status: int, code: str, kind: type[GpuError], retryable: bool
) -> None:
    answers.problem(status, code)
    error = error_of(client)
    assert (type(error), error.code, error.retryable) == (kind, code, retryable)
    assert error.message == "why"


@pytest.mark.parametrize(
    ("status", "code"), [(429, "gpu_busy"), (503, "gpu_starting"), (503, "gpu_stopping")]
)
def test_a_busy_service_says_when_to_come_back(
    client: GpuClient, answers: Answers, status: int, code: str
) -> None:
    answers.problem(status, code, **{"Retry-After": "7.5"})
    error = error_of(client)
    assert isinstance(error, GpuBusyError)
    assert error.retry_after_s == 7.5


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", "", "{}", "[1]", "stream timeout"])
@pytest.mark.parametrize("status", [408, 502, 503, 504])
def test_a_gateway_without_a_replica_means_that_one_starts(
    client: GpuClient, answers: Answers, status: int, body: str
) -> None:
    answers.status, answers.body = status, body
    error = error_of(client)
    assert (type(error), error.code, error.retryable) == (GpuNoReplicaError, "gpu_starting", True)


def test_an_address_of_somebody_else_is_unreachable(client: GpuClient, answers: Answers) -> None:
    answers.status, answers.body = 405, "<html>method not allowed</html>"
    error = error_of(client)
    assert (type(error), error.code) == (GpuNoReplicaError, "gpu_unreachable")


def test_nonsense_with_200_is_a_failure(client: GpuClient, answers: Answers) -> None:
    answers.body = '{"width": "wide"}'
    assert error_of(client).code == "gpu_bad_answer"


def test_silence_is_a_start_or_a_time_out_of_who_has_worked_before(
    client: GpuClient, answers: Answers
) -> None:
    answers.delay_s = 3.0
    error = error_of(client)
    assert (type(error), error.code) == (GpuNoReplicaError, "gpu_starting")
    with pytest.raises(GpuNoReplicaError) as later:
        client.upscale(ORDER, soon(), GpuTicket(work_id="w1"))
    assert later.value.code == "gpu_timeout"


def test_a_closed_port_means_that_one_starts() -> None:
    client = GpuClient(read(Settings, {"GPU_SERVICE_URL": f"http://127.0.0.1:{free_port()}"}))
    assert error_of(client).code == "gpu_starting"
    assert client.health() is None


def test_health_passes_on_what_the_service_tells(client: GpuClient, answers: Answers) -> None:
    answers.body = json.dumps({"state": "BUSY", "vram_used_gb": 1.5, "new": "unknown here"})
    assert client.health() == GpuHealth(state="BUSY", vram_used_gb=1.5)
    for answers.body in ("[]", "{}", "<html>"):
        assert client.health() is None
