"""What follows a paid answer: it is kept untouched, settled, judged and delivered, and nothing pays again."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from PIL import Image
from sqlmodel import select

from activities import deliver
from activities.place import place
from imagery.contracts import (
    BlobRef,
    JobOptions,
    JobState,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    paid_answer,
    stage_output,
)
from imagery.database.job_views import JobView
from imagery.database.money import SpendState
from imagery.database.tables import SpendEntry, utc_now
from imagery.guardrail.sandbox import SandboxError
from imagery.services import Services, get_services
from imagery.storage import Storage, StorageError
from testbed.pictures import encoded
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed, make_job, message

PAID_USD = 0.08
# no picture scores less, so all are rejected
NOTHING_PASSES = "max_nsfw_score=0"


def with_settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Services:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget()
    return get_services()


def of_run(job_id: str, run: int, *, late: bool = False) -> JsonObject:
    deadline = utc_now() + timedelta(hours=-1 if late else 1)
    return StageInput(job_id=job_id, run=run, stage=Stage.NANO_BANANA, deadline=deadline).to_json()


def view_of(services: Services, job_id: str) -> JobView:
    view = services.jobs.view(job_id)
    assert view is not None
    return view


def entries(services: Services, job_id: str) -> list[SpendEntry]:
    query = select(SpendEntry).where(SpendEntry.job_id == job_id).order_by(SpendEntry.attempt_group)  # type: ignore[arg-type]
    with services.database.read() as session:
        return list(session.exec(query))


def retry(services: Services, job_id: str, run: int) -> None:
    """End the job as its orchestration does, and ask for another run."""
    services.jobs.finish(job_id, run - 1, JobState.FAILED, stage=Stage.NANO_BANANA)
    deadline = utc_now() + timedelta(hours=1)
    assert services.jobs.begin_run(job_id, instance_id=f"{job_id}-{run}", run=run, deadline=deadline)


def test_the_providers_bytes_are_kept_untouched_beside_the_picture(
    services: Services, simulator: Server
) -> None:
    simulator.client.post("/_simulator/faults", json={"next": ["jpeg"]})
    job_id = make_job(services)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, PAID_USD)
    kept = paid_answer(job_id, Stage.NANO_BANANA, 1)
    assert services.storage.properties(kept).content_type == "image/jpeg"
    data = services.storage.read(kept)
    assert data.startswith(b"\xff\xd8\xff")
    delivered = services.storage.read(stage_output(job_id, Stage.NANO_BANANA))
    with Image.open(io.BytesIO(data)) as came, Image.open(io.BytesIO(delivered)) as picture:
        assert picture.format == "PNG"
        assert picture.tobytes() == came.tobytes()


class Failing:
    """A repository that raises where it is told to, and works otherwise."""

    def __init__(self, repository: Any, error: Exception, *names: str) -> None:
        self._repository = repository
        self._error = error
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            raise self._error
        return getattr(self._repository, name)


class ProcessDiedError(BaseException):
    """Nothing that follows is done any more."""


@pytest.mark.parametrize("dies_at", ["settle", "succeed_paid"])
def test_a_host_that_dies_after_the_answer_was_stored_pays_nothing_again(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    job_id = make_job(services)
    dying = replace(
        services, stages=cast(Any, Failing(services.stages, cast(Any, ProcessDiedError()), dies_at))
    )
    with monkeypatch.context() as patch:
        patch.setattr("activities.stage.get_services", lambda: dying)
        with pytest.raises(ProcessDiedError):
            place(message(job_id))
    assert services.storage.exists(paid_answer(job_id, Stage.NANO_BANANA, 1))
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, PAID_USD)
    assert billed(simulator, job_id) == (1, 1)
    assert [entry.state for entry in entries(services, job_id)] == [SpendState.SETTLED]


@pytest.mark.slow
def test_a_busy_guardrail_is_waited_for_with_the_money_settled(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = with_settings(monkeypatch, GUARDRAIL_SANDBOX="workers=1 queue=0")
    job_id = make_job(services)
    large, started = encoded("PNG", size=(4000, 3000), compress_level=1), threading.Event()
    done: list[bool] = []

    def keep_busy() -> None:
        while not done:
            with suppress(SandboxError):
                services.guardrail.examine(large, None, JobOptions())
            started.set()

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        assert started.wait(60)
        until, told = time.monotonic() + 60, place(message(job_id))
        while told["error_code"] != "guardrail_busy" and time.monotonic() < until:
            # it found the worker free for a moment: another job has another chance
            assert told["outcome"] == StageOutcome.SUCCEEDED
            job_id = make_job(services)
            told = place(message(job_id))
    finally:
        done.append(True)
        busy.join()
    assert (told["outcome"], told["error_code"]) == (StageOutcome.RETRY_LATER, "guardrail_busy")
    assert told["message"].startswith("The picture is paid and kept")
    (entry,) = entries(services, job_id)
    assert entry.state == SpendState.SETTLED
    assert view_of(services, job_id).stages[0].cost_usd == PAID_USD
    assert not services.storage.exists(stage_output(job_id, Stage.NANO_BANANA)), "nobody has judged it"
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (1, 1)


class Moderation:
    """Stands for Azure AI Content Safety."""

    def __init__(self) -> None:
        self.status = 200
        self.severity = 0
        self.pictures = 0
        self.app = FastAPI()
        self.app.post("/contentsafety/image:analyze")(self.analyze)

    async def analyze(self) -> JSONResponse:
        self.pictures += 1
        if self.status != 200:
            return JSONResponse({"error": {"code": "x", "message": "y"}}, self.status)
        return JSONResponse({"categoriesAnalysis": [{"category": "Violence", "severity": self.severity}]})


@pytest.fixture
def moderation() -> Iterator[Moderation]:
    made = Moderation()
    server = Server(made.app)
    made.url = server.url  # type: ignore[attr-defined]
    yield made
    server.stop()


def moderated(monkeypatch: pytest.MonkeyPatch, moderation: Moderation) -> Services:
    return with_settings(
        monkeypatch,
        CONTENT_SAFETY_ENDPOINT=moderation.url,  # type: ignore[attr-defined]
        CONTENT_SAFETY_KEY="the key",
        CONTENT_SAFETY_POLICY="timeout_s=1 fallback=wait",
        CIRCUIT="failures=1000",
    )


def test_without_content_safety_the_picture_waits_up_to_the_deadline_and_stays_paid(
    services: Services, simulator: Server, moderation: Moderation, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, moderation.status = moderated(monkeypatch, moderation), 503
    job_id = make_job(services)
    for _ in range(3):
        told = place(message(job_id))
        assert (told["outcome"], told["error_code"]) == (
            StageOutcome.RETRY_LATER,
            "content_safety_unavailable",
        )
    assert moderation.pictures == 3
    told = place(of_run(job_id, 1, late=True))
    assert (told["outcome"], told["error_code"]) == (StageOutcome.FAILED, "deadline_exceeded")
    assert "The picture is paid and kept" in told["message"]
    moderation.status = 200
    retry(services, job_id, 2)
    assert place(of_run(job_id, 2))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (1, 1), "a retry delivers what the first run has paid"
    assert view_of(services, job_id).stages[0].cost_usd == PAID_USD


def test_what_content_safety_rejects_is_not_delivered(
    services: Services, simulator: Server, moderation: Moderation, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, moderation.severity = moderated(monkeypatch, moderation), 6
    job_id = make_job(services)
    told = place(message(job_id))
    assert (told["outcome"], told["error_code"]) == (StageOutcome.REJECTED, "placed_picture_rejected")
    assert "Violence 6" in told["message"]
    assert not services.storage.exists(stage_output(job_id, Stage.NANO_BANANA))


def test_a_rejected_picture_stays_paid_and_kept_and_a_retry_pays_for_another(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = with_settings(monkeypatch, PICTURE_LIMITS=NOTHING_PASSES)
    job_id = make_job(strict)
    for _ in range(2):
        # delivered twice, it says the same
        told = place(message(job_id))
        assert (told["outcome"], told["error_code"]) == (StageOutcome.REJECTED, "placed_picture_rejected")
    assert "was paid" in told["message"]
    assert "pays again" in told["message"]
    assert strict.storage.exists(paid_answer(job_id, Stage.NANO_BANANA, 1))
    assert not strict.storage.exists(stage_output(job_id, Stage.NANO_BANANA))
    assert billed(simulator, job_id) == (1, 1)
    retry(strict, job_id, 2)
    view = view_of(strict, job_id)
    assert view.stages[0].cost_usd == PAID_USD
    kind = with_settings(monkeypatch, PICTURE_LIMITS="")
    simulator.client.post("/_simulator/faults", json={"next": ["jpeg"]})
    told = place(of_run(job_id, 2))
    assert (told["outcome"], told["cost_usd"]) == (StageOutcome.SUCCEEDED, 2 * PAID_USD)
    assert billed(simulator, job_id) == (2, 2)
    assert [entry.state for entry in entries(kind, job_id)] == [SpendState.SETTLED] * 2
    answers = [paid_answer(job_id, Stage.NANO_BANANA, run) for run in (1, 2)]
    kinds = [kind.storage.properties(each).content_type for each in answers]
    assert kinds == ["image/png", "image/jpeg"], "each run has its own answer"


@pytest.mark.parametrize("breaks", ["storage", "derive"])
def test_what_breaks_between_answer_and_picture_costs_a_wait(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    job_id = make_job(services)
    cut_out = services.storage.read(stage_output(job_id, Stage.REALESRGAN))

    class Store:
        """Writes, and reads nothing that was paid."""

        def read(self, ref: BlobRef, *more: Any) -> bytes:
            if ref.name.endswith(".answer"):
                raise StorageError("the store is away")
            return cut_out

        def __getattr__(self, name: str) -> Any:
            return getattr(services.storage, name)

    def derive(_: bytes) -> bytes:
        raise RuntimeError("no key to sign with")

    with monkeypatch.context() as patch:
        if breaks == "storage":
            away = replace(services, storage=cast(Storage, Store()))
            patch.setattr("activities.stage.get_services", lambda: away)
        else:
            patch.setattr(deliver, "derive", derive)
        told = place(message(job_id))
    code = "storage_unavailable" if breaks == "storage" else "delivery_failed"
    assert (told["outcome"], told["error_code"]) == (StageOutcome.RETRY_LATER, code)
    assert [entry.state for entry in entries(services, job_id)] == [SpendState.SETTLED]
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, job_id) == (1, 1)
