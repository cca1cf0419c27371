"""The paid stage's activity: delivered twice, cut off or cancelled, it pays at most once."""

from __future__ import annotations

import io
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image
from sqlmodel import select

from activities.attempt import TransientStageError
from activities.place import place
from imagery.contracts import (
    UPLOADS,
    BlobRef,
    JobRequest,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    StageState,
    stage_output,
)
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.money import SpendState
from imagery.database.tables import SpendEntry, utc_now
from imagery.services import Services, get_services
from imagery.storage import Storage
from lifecycle.ledger_sweep import close_lost_calls
from testbed.servers import Server
from testbed.services import forget


def make_job(services: Services, request_hash: str = "") -> str:
    """A job whose upscaled cut-out is there; without ``request_hash`` its upload has started it."""
    source = BlobRef(container=UPLOADS, name="x")
    request = JobRequest(job_id=str(uuid.uuid4()), source=source, owner_id="me", request_hash=request_hash)
    deadline = utc_now() + timedelta(hours=1)
    services.jobs.create(request, instance_id=f"{request.job_id}-1", deadline=deadline)
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 40, 40, 255)).save(buffer, "PNG")
    services.storage.write(stage_output(request.job_id, Stage.REALESRGAN), buffer.getvalue(), "image/png")
    return request.job_id


def message(job_id: str) -> JsonObject:
    deadline = utc_now() + timedelta(hours=1)
    return StageInput(job_id=job_id, run=1, stage=Stage.NANO_BANANA, deadline=deadline).to_json()


def billed(simulator: Server, job_id: str) -> tuple[int, int]:
    jobs = simulator.client.get("/_simulator/bill").json()["by_job"]
    job = jobs.get(job_id, {"calls": 0, "billed": 0})
    return job["calls"], job["billed"]


def test_two_deliveries_at_once_pay_once(services: Services, simulator: Server) -> None:
    job_id = make_job(services)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place(message(job_id)), range(4)))
    outcomes = sorted(answer["outcome"] for answer in answers)
    assert outcomes.count(StageOutcome.SUCCEEDED) >= 1
    assert set(outcomes) <= {StageOutcome.SUCCEEDED, StageOutcome.RETRY_LATER}
    waiting = [answer for answer in answers if answer["outcome"] == StageOutcome.RETRY_LATER]
    assert all(2 <= answer["retry_after_s"] <= 22 for answer in waiting)
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (1, 1)


def test_an_uploads_own_job_pays_nothing_once_a_request_has_named_it(
    services: Services, simulator: Server
) -> None:
    """Two rows written at one moment, by processes that died before either saw the other's."""
    own, asked = make_job(services), make_job(services, request_hash="of the body")
    assert place(message(own))["outcome"] == StageOutcome.CANCELLED
    ended = services.jobs.get(own)
    assert ended is not None
    assert (ended.state, ended.error_code) == ("CANCELLED", "taken_over")
    assert place(message(asked))["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, own), billed(simulator, asked)) == ((0, 0), (1, 1))


def test_a_stored_picture_is_settled_without_a_call(services: Services, simulator: Server) -> None:
    job_id = make_job(services)
    entry = services.ledger.reserve(job_id, 1, Stage.NANO_BANANA, 0.08)
    services.ledger.mark_sent(entry.entry_id, 1)
    services.storage.write(stage_output(job_id, Stage.NANO_BANANA), b"the paid picture", "image/png")
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, 0.08)
    standing = services.ledger.reserve(job_id, 1, Stage.NANO_BANANA, 0.08)
    assert standing.state is SpendState.SETTLED
    assert billed(simulator, job_id) == (0, 0)


class LookedTooEarly:
    """A store whose first look at a blob was a moment before it was written."""

    def __init__(self, storage: Storage, blob: BlobRef) -> None:
        self._storage = storage
        self._unseen = {blob}

    def exists(self, ref: BlobRef) -> bool:
        if ref in self._unseen:
            self._unseen.remove(ref)
            return False
        return self._storage.exists(ref)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def test_a_picture_that_another_attempt_paid_and_stored_meanwhile_is_not_missing(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(services)
    target = stage_output(job_id, Stage.NANO_BANANA)
    entry = services.ledger.reserve(job_id, 1, Stage.NANO_BANANA, 0.08)
    services.ledger.mark_sent(entry.entry_id, 1)
    services.storage.write(target, b"picture", "image/png")
    with services.database.write() as session:
        services.ledger.settle(session, job_id, Stage.NANO_BANANA)
    early = replace(services, storage=LookedTooEarly(services.storage, target))
    monkeypatch.setattr("activities.stage.get_services", lambda: early)
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (0, 0)


def test_a_job_cancelled_before_the_call_is_not_paid(services: Services, simulator: Server) -> None:
    job_id = make_job(services)
    services.jobs.cancel(job_id)
    assert place(message(job_id))["outcome"] == StageOutcome.CANCELLED
    assert billed(simulator, job_id) == (0, 0)


def test_a_job_cancelled_during_the_call_keeps_what_was_paid(services: Services, simulator: Server) -> None:
    job_id = make_job(services)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(place, message(job_id))
        until = time.monotonic() + 10
        while billed(simulator, job_id)[0] == 0 and time.monotonic() < until:
            time.sleep(0.02)
        services.jobs.cancel(job_id)
        running.result()
    assert billed(simulator, job_id) == (1, 1)
    assert services.storage.exists(stage_output(job_id, Stage.NANO_BANANA))
    view = services.jobs.view(job_id)
    assert view is not None
    assert (view.job.state, view.stages[0].cost_usd) == ("CANCELLED", 0.08)


def test_over_the_budget_nothing_is_sent_and_the_job_says_so(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUDGET_USD_PER_DAY", "0.08")
    forget()
    services = get_services()
    first, second = make_job(services), make_job(services)
    assert place(message(first))["outcome"] == StageOutcome.SUCCEEDED
    answer = place(message(second))
    assert answer["error_code"] == "budget_usd_per_day"
    # shortly before midnight the job has the time to wait for the next day's budget
    assert answer["outcome"] in {StageOutcome.FAILED, StageOutcome.RETRY_LATER}
    assert billed(simulator, second) == (0, 0)


def test_an_open_circuit_makes_the_job_wait_unpaid(services: Services, simulator: Server) -> None:
    services.circuits.open_by_hand(GuardedDependency.NANO_BANANA, "olga")
    job_id = make_job(services)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.RETRY_LATER, "circuit_open")
    assert answer["retry_after_s"] > 0
    view = services.jobs.view(job_id)
    assert view is not None
    assert (view.stages[0].state, view.stages[0].error_code) == ("WAITING", "circuit_open")
    services.circuits.close_by_hand(GuardedDependency.NANO_BANANA, "olga")
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (1, 1)


def test_503s_in_a_row_open_the_circuit_and_rejections_do_not(services: Services, simulator: Server) -> None:
    threshold = services.settings.jobs.circuit.failures
    simulator.client.post("/_simulator/faults", json={"next": ["safety"] * threshold})
    for _ in range(threshold):
        job_id = make_job(services)
        assert place(message(job_id))["outcome"] == StageOutcome.REJECTED
        view = services.jobs.view(job_id)
        assert view is not None
        assert view.stages[0].state == StageState.REJECTED
    assert services.circuits.state(GuardedDependency.NANO_BANANA).state is CircuitState.CLOSED
    simulator.client.post("/_simulator/faults", json={"next": ["503"] * threshold})
    for _ in range(threshold):
        with pytest.raises(TransientStageError):
            place(message(make_job(services)))
    assert services.circuits.state(GuardedDependency.NANO_BANANA).state is CircuitState.OPEN
    assert place(message(make_job(services)))["error_code"] == "circuit_open"


def test_a_call_whose_process_died_is_closed_by_the_sweep(services: Services, simulator: Server) -> None:
    lost, arrived = make_job(services), make_job(services)
    for job_id in (lost, arrived):
        services.stages.begin(job_id, 1, Stage.NANO_BANANA)
        reservation = services.ledger.reserve(job_id, 1, Stage.NANO_BANANA, 0.08)
        services.ledger.mark_sent(reservation.entry_id, 1)
    services.storage.write(stage_output(arrived, Stage.NANO_BANANA), b"the paid picture", "image/png")
    assert close_lost_calls(services, 10) == 0, "an answer may still come"
    with services.database.write() as session:
        for entry in session.exec(select(SpendEntry)):
            entry.sent_at = utc_now() - timedelta(hours=1)
    assert close_lost_calls(services, 10) == 2
    assert services.ledger.has_unknown(lost)
    assert not services.ledger.has_unknown(arrived)
    view = services.jobs.view(arrived)
    assert view is not None
    assert view.stages[0].cost_usd == 0.08
