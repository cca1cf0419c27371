"""The same thing asked for many times at the same moment."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from testbed.pictures import encoded
from testbed.stack import Stack
from tests.e2e.conftest import BOTH

_LIMIT_S = 240.0


def post(stack: Stack, data: bytes, headers: dict[str, str]) -> httpx.Response:
    """Send until there is room, as the answer asks for."""
    until = time.monotonic() + _LIMIT_S
    while True:
        files = {"file": ("p.png", data, "image/png")}
        answer = stack.client.post("/api/v1/process", files=files, headers=headers, timeout=120)
        if answer.status_code not in {429, 503} or time.monotonic() > until:
            return answer
        time.sleep(min(2.0, float(answer.headers["Retry-After"])))


@BOTH
def test_the_same_key_at_once_is_one_job_that_completes(stack: Stack) -> None:
    data, headers = encoded("PNG", size=(96, 96)), {"Idempotency-Key": str(uuid.uuid4())}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(stack, data, headers), range(32)))
    assert {answer.status_code for answer in answers} == {200, 202}
    assert [answer.status_code for answer in answers].count(202) == 1
    (job_id,) = {answer.json()["job_id"] for answer in answers}
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    assert stack.bill(job_id)["billed"] == 1


def test_the_same_photo_at_once_is_paid_once(stack: Stack) -> None:
    stack.host.restart(STAGE_CACHE="user")
    data = encoded("PNG", size=(97, 96))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(stack, data, {}), range(16)))
    job_ids = [answer.json()["job_id"] for answer in answers]
    assert len(set(job_ids)) == 16
    ends = [stack.wait_for_end(job_id, _LIMIT_S) for job_id in job_ids]
    assert {end["state"] for end in ends} == {"COMPLETED"}
    assert sum(stack.bill(job_id)["billed"] for job_id in job_ids) == 1


def test_an_empty_key_is_refused(stack: Stack) -> None:
    """It would make one job of all photos of its user."""
    answer = post(stack, encoded("PNG", size=(96, 96)), {"Idempotency-Key": ""})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
