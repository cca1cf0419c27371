"""The paid stage with a provider that answers as the real one does on a bad day."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.attempt import TransientStageError
from activities.place import place
from activities.remove_background import remove_background
from imagery.contracts import GpuReport, GpuRequest, JsonObject, Stage, StageInput, StageOutcome, stage_output
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.services import Services, get_services
from local.nano_banana_answers import BILLED
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed, make_job, message

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services whose circuits open for half a second."""
    monkeypatch.setenv("CIRCUIT", "open_s=0.5 cap_s=0.5 read_s=0.05")
    forget()
    yield get_services()


def fault(simulator: Server, *names: str, **more: object) -> None:
    simulator.client.post("/_simulator/faults", json={"next": list(names), **more}).raise_for_status()


def until_done(job_id: str, work: Callable[[JsonObject], JsonObject] = place) -> list[JsonObject]:
    """Every attempt, with short waits between them, until one is the last."""
    answers: list[JsonObject] = []
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            answers.append(work(message(job_id)))
        except TransientStageError:
            continue
        if answers[-1]["outcome"] != StageOutcome.RETRY_LATER:
            return answers
        time.sleep(0.1)
    raise AssertionError(answers)


@pytest.mark.parametrize("name", BILLED)
def test_a_picture_that_came_is_delivered_and_paid_once(
    quick: Services, simulator: Server, name: str
) -> None:
    fault(simulator, name)
    job_id = make_job(quick)
    (answer,) = until_done(job_id)
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, 0.08)
    with Image.open(io.BytesIO(quick.storage.read(stage_output(job_id, Stage.NANO_BANANA)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))
    assert billed(simulator, job_id) == (1, 1)


@pytest.mark.parametrize(
    "name", ["500", "502", "503", "504", "429", "429_without_wait", "no_image", "image_other"]
)
def test_what_cost_nothing_is_asked_again_and_paid_once(
    quick: Services, simulator: Server, name: str
) -> None:
    fault(simulator, name, retry_delay_s=0.3)
    job_id = make_job(quick)
    assert until_done(job_id)[-1]["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (2, 1)


def test_no_picture_and_no_reason_twice_is_the_end(quick: Services, simulator: Server) -> None:
    fault(simulator, "no_image", "image_other")
    job_id = make_job(quick)
    first, *_, last = until_done(job_id)
    assert "once more" in first["message"]
    assert (last["outcome"], last["error_code"]) == (StageOutcome.FAILED, "nano_banana_no_image")
    assert billed(simulator, job_id) == (2, 0)


@pytest.mark.parametrize(
    ("name", "outcome", "code"),
    [
        ("429_of_the_day", StageOutcome.FAILED, "nano_banana_quota_exhausted"),
        ("model_armor", StageOutcome.REJECTED, "nano_banana_safety"),
        ("blocked", StageOutcome.REJECTED, "nano_banana_safety"),
        ("text_only", StageOutcome.REJECTED, "nano_banana_no_image"),
        ("proxy_502", StageOutcome.FAILED, "payment_unknown"),
    ],
)
def test_what_no_wait_cures_ends_the_job_at_once(
    quick: Services, simulator: Server, name: str, outcome: StageOutcome, code: str
) -> None:
    fault(simulator, name)
    job_id = make_job(quick)
    (answer,) = until_done(job_id)
    assert (answer["outcome"], answer["error_code"]) == (outcome, code)
    assert billed(simulator, job_id) == (1, 0)


def test_one_jobs_429_is_meant_for_all(services: Services, simulator: Server) -> None:
    fault(simulator, "429", retry_delay_s=30)
    first, other = make_job(services), make_job(services)
    told = place(message(first))
    assert told["error_code"] == "nano_banana_rate_limited"
    assert 25 < told["retry_after_s"] < 45
    waiting = place(message(other))
    assert (waiting["outcome"], waiting["error_code"]) == (StageOutcome.RETRY_LATER, "circuit_open")
    assert "nano_banana_rate_limited" in waiting["message"]
    assert waiting["retry_after_s"] > 20
    assert billed(simulator, other) == (0, 0)


@dataclass
class Gpu:
    """Stands for the GPU service; keeps which jobs it worked for."""

    jobs: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        order = GpuRequest.from_json(await request.json())
        self.jobs.append(order.job_id)
        report = GpuReport(
            output=order.target,
            width=8,
            height=8,
            duration_ms=1.0,
            vram_used_gb=0.0,
            vram_peak_gb=0.0,
            device="cpu",
            model="u2netp",
        )
        return JSONResponse(report.to_json())


@pytest.fixture
def gpu(quick: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    service = Gpu()
    server = Server(Starlette(routes=[Route("/{path:path}", service.answer, methods=["POST"])]))
    monkeypatch.setenv("GPU_SERVICE_URL", server.url)
    forget()
    yield service
    server.stop()


def cut_out(order: JsonObject) -> JsonObject:
    """The first GPU stage of the job whose paid stage this message is for."""
    known = StageInput.from_json(order)
    first = StageInput(job_id=known.job_id, run=1, stage=Stage.REMBG, deadline=known.deadline)
    return remove_background(first.to_json())


@pytest.mark.parametrize("name", ["dead_key", "suspended", "model_gone"])
def test_nothing_is_computed_that_can_not_be_placed(simulator: Server, gpu: Gpu, name: str) -> None:
    services = get_services()
    jobs = [make_job(services) for _ in range(50)]
    fault(simulator, rate=1, kinds=[name])
    first = place(message(jobs[0]))
    assert (first["outcome"], first["error_code"]) == (
        StageOutcome.RETRY_LATER,
        "nano_banana_model_not_found" if name == "model_gone" else "nano_banana_forbidden",
    )
    until = time.monotonic() + 2
    while time.monotonic() < until:
        waiting = [cut_out(message(job_id)) for job_id in jobs[1:]]
        assert {each["outcome"] for each in waiting} == {StageOutcome.RETRY_LATER}
    assert gpu.jobs == []
    circuit = services.circuits.state(GuardedDependency.NANO_BANANA)
    assert (circuit.state, circuit.last_error) == (CircuitState.OPEN, first["error_code"])
    simulator.client.delete("/_simulator/faults")
    time.sleep(0.6)
    for job_id in jobs[1:]:
        assert until_done(job_id, cut_out)[-1]["outcome"] == StageOutcome.SUCCEEDED
    assert sorted(gpu.jobs) == sorted(jobs[1:])
    assert until_done(jobs[0])[-1]["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, jobs[0]) == (2, 1)
