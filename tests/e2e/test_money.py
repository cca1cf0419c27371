"""Money on the running stack: the same photo twice, lost answers, budgets, circuits by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from imagery.principal import Role
from testbed.stack import Stack
from tests.e2e.test_pipeline import job_of, upload
from tests.e2e.test_recovery import circuit_of


@pytest.fixture
def user(stack: Stack) -> Iterator[httpx.Client]:
    """A new user."""
    _, key = stack.users().create(f"payer {uuid.uuid4()}", Role.USER)
    with stack.client_of(key) as client:
        yield client


def test_the_same_photo_a_second_time_costs_nothing(stack: Stack, photo: bytes) -> None:
    stack.host.restart(STAGE_CACHE="user")
    first = stack.submit(photo, prompt="on a cached shelf")
    paid = stack.wait_for_end(first)
    assert (paid["state"], paid["cost_usd"]) == ("COMPLETED", 0.08), paid
    second = stack.submit(photo, prompt="on a cached shelf")
    free = stack.wait_for_end(second)
    assert (free["state"], free["cost_usd"]) == ("COMPLETED", 0.0), free
    assert [stage["cached"] for stage in free["stages"]] == [False, True, True, True]
    assert (stack.bill(first)["billed"], stack.bill(second)["calls"]) == (1, 0)
    for stage in ("rembg", "realesrgan", "nano_banana"):
        pictures = [
            stack.client.get(f"/api/v1/jobs/{job_id}/images/{stage}", follow_redirects=True).content
            for job_id in (first, second)
        ]
        assert pictures[0] == pictures[1]
    third = stack.submit(photo, prompt="on a cached shelf", fresh="true")
    assert stack.wait_for_end(third)["cost_usd"] == 0.08
    avoided = {each["reason"]: each for each in stack.client.get("/api/v1/spend").json()["avoided"]}
    assert avoided["cache_hit"]["usd"] == pytest.approx(0.08 * avoided["cache_hit"]["pictures"])
    assert 'stage_cache_hits_total{stage="nano_banana"}' in stack.client.get("/api/v1/metrics").text


@pytest.mark.parametrize("charged", [True, False])
def test_a_lost_answer_is_settled_by_an_operator_and_then_retried(
    stack: Stack, photo: bytes, user: httpx.Client, charged: bool
) -> None:
    stack.faults("timeout_after_billing" if charged else "timeout_before_billing")
    job_id = user.post("/api/v1/process", files={"file": ("p.jpg", photo, "image/jpeg")}).json()["job_id"]
    failed = stack.wait_for_end(job_id)
    assert failed["error"]["code"] == "payment_unknown", failed
    spend = user.get("/api/v1/spend").json()
    assert [call["job_id"] for call in spend["unknown"]] == [job_id]
    assert spend["today"]["committed_usd"] == pytest.approx(0.08)
    assert user.post(f"/api/v1/jobs/{job_id}/retry").json()["code"] == "payment_unknown"
    order = {"charged": charged}
    assert user.post(f"/api/v1/jobs/{job_id}/spend/resolve", json=order).status_code == 403
    resolved = stack.client.post(f"/api/v1/jobs/{job_id}/spend/resolve", json=order)
    assert (resolved.status_code, resolved.json()["cost_usd"]) == (200, 0.08 if charged else 0.0)
    again = stack.client.post(f"/api/v1/jobs/{job_id}/spend/resolve", json=order)
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_resolve")
    assert user.post(f"/api/v1/jobs/{job_id}/retry").status_code == 202
    done = stack.wait_for_end(job_id)
    spent = 0.16 if charged else 0.08
    assert (done["state"], done["cost_usd"]) == ("COMPLETED", pytest.approx(spent)), done
    assert stack.bill(job_id)["usd"] == pytest.approx(spent)
    spend = user.get("/api/v1/spend").json()
    assert sum(day["settled_usd"] for day in spend["days"]) == pytest.approx(spent)
    assert spend["unknown"] == []
    assert [person["settled_usd"] for person in spend["users"]] == [pytest.approx(spent)]


def test_an_operator_stops_all_paid_calls_and_lets_them_go_on(stack: Stack, photo: bytes) -> None:
    circuit = "/api/v1/circuit-breakers/nano_banana"
    assert stack.client.post(circuit, json={"state": "open"}).json()["forced"] is True
    job_id = stack.submit(photo)
    waiting = stack.status(job_id)
    for _ in range(60):
        waiting = stack.status(job_id, wait=1)
        if waiting["stages"][3]["state"] == "WAITING":
            break
    assert waiting["stages"][3]["error"]["code"] == "circuit_open", waiting
    assert waiting["stages"][3]["waiting_until"] is not None
    assert stack.bill(job_id)["calls"] == 0
    assert circuit_of(stack, "nano_banana")["changed_by"] is not None
    stack.client.post(circuit, json={"state": "closed"})
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    assert stack.bill(job_id)["billed"] == 1


def test_over_the_budget_a_job_fails_unpaid_and_is_told_so(stack: Stack, photo: bytes) -> None:
    # shortly before midnight a job waits for the next day's budget, if its own time lasts until then
    stack.host.restart(BUDGET_USD_PER_DAY="0", JOB_DEADLINE_S="30")
    job_id = stack.submit(photo)
    status = stack.wait_for_end(job_id)
    assert status["error"]["code"] == "budget_usd_per_day", status
    assert stack.bill(job_id)["calls"] == 0
    reasons = {each["reason"] for each in stack.client.get("/api/v1/spend").json()["avoided"]}
    assert "budget" in reasons


def test_uploads_that_a_batch_names_with_a_prompt_are_paid_once(stack: Stack, photo: bytes) -> None:
    circuit = "/api/v1/circuit-breakers/nano_banana"
    # nobody pays before the batch is there
    stack.client.post(circuit, json={"state": "open"})
    names = [f"{uuid.uuid4()}.jpg" for _ in range(3)]
    for name in names:
        upload(stack, name, photo)
    own = [str(job_of(stack, name)["job_id"]) for name in names]
    items = [{"blob": f"uploads/{name}", "prompt": "on snow"} for name in names]
    batch = stack.client.post("/api/v1/batches", json={"items": items}).json()
    stack.client.post(circuit, json={"state": "closed"})
    asked = [job["job_id"] for job in batch["jobs"]]
    assert [stack.wait_for_end(job_id)["state"] for job_id in asked] == ["COMPLETED"] * 3
    assert [stack.wait_for_end(job_id)["error"]["code"] for job_id in own] == ["taken_over"] * 3
    assert [stack.bill(job_id)["billed"] for job_id in [*asked, *own]] == [1, 1, 1, 0, 0, 0]
