"""What an earlier job has made of the same photo is taken over: no GPU time, no second bill."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from PIL import Image
from sqlmodel import select

from activities.attempt import TransientStageError
from activities.guardrail import guardrail
from activities.place import place
from activities.remove_background import remove_background
from activities.upscale import upscale
from imagery.contracts import (
    JOBS,
    BlobRef,
    JobOptions,
    JobRequest,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    stage_output,
)
from imagery.database.counters import Metric, read_counts
from imagery.database.money import SpendState
from imagery.database.savings import avoided
from imagery.database.stage_cache import StageCache
from imagery.database.stages import Stages
from imagery.database.tables import ImageJob, SpendEntry, StageCacheEntry, utc_now
from imagery.environment import read
from imagery.services import Services
from imagery.settings import Settings
from imagery.storage import Storage, StorageError
from lifecycle.ledger_sweep import close_lost_calls
from testbed.servers import Server
from tests.activities.test_place import billed

ACTIVITIES = {
    Stage.GUARDRAIL: guardrail,
    Stage.REMBG: remove_background,
    Stage.REALESRGAN: upscale,
    Stage.NANO_BANANA: place,
}
GPU_STAGES = (Stage.REMBG, Stage.REALESRGAN)


def picture(colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (*colour, 255)).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as shown:
        return shown.tobytes()


def make_job(services: Services, photo: bytes, owner: str = "ann", **options: Any) -> str:
    """A job whose photo the guardrail has admitted already, as after POST /process."""
    job_id = str(uuid.uuid4())
    target = BlobRef(container=JOBS, name=f"{job_id}/source.png")
    request = JobRequest(
        job_id=job_id,
        source=services.storage.write(target, photo, "image/png"),
        owner_id=owner,
        options=JobOptions(**options),
    )
    services.jobs.create(request, instance_id=f"{job_id}-1", deadline=utc_now() + timedelta(hours=1))
    assert run(job_id, Stage.GUARDRAIL)["outcome"] == StageOutcome.SUCCEEDED
    return job_id


def run(job_id: str, stage: Stage) -> JsonObject:
    order = StageInput(job_id=job_id, run=1, stage=stage, deadline=utc_now() + timedelta(hours=1))
    return ACTIVITIES[stage](order.to_json())


def job_of(services: Services, job_id: str) -> ImageJob:
    job = services.jobs.get(job_id)
    assert job is not None
    return job


def finish_gpu_stages(services: Services, job_id: str) -> None:
    """The GPU stages' results as the service would have left them."""
    for stage in GPU_STAGES:
        target = services.storage.write(stage_output(job_id, stage), picture((1, 2, 3)), "image/png")
        services.stages.begin(job_id, 1, stage)
        services.stages.succeed(job_id, stage, target)
        key = services.stage_cache.key(job_of(services, job_id), stage)
        assert key is not None
        services.stage_cache.keep(key, job_id, target)


def complete(services: Services, job_id: str) -> None:
    finish_gpu_stages(services, job_id)
    assert run(job_id, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED


def test_the_same_photo_costs_neither_gpu_time_nor_money_again(services: Services, simulator: Server) -> None:
    assert services.gpu.health() is None, "nothing can be computed here"
    first, second = make_job(services, picture()), make_job(services, picture())
    complete(services, first)
    for stage in (*GPU_STAGES, Stage.NANO_BANANA):
        assert run(second, stage)["outcome"] == StageOutcome.SUCCEEDED
        copied, made = (services.storage.read(stage_output(job_id, stage)) for job_id in (second, first))
        if stage is Stage.NANO_BANANA:
            # signed for each job
            assert copied != made
            copied, made = pixels(copied), pixels(made)
        assert copied == made
    assert (billed(simulator, first), billed(simulator, second)) == ((1, 1), (0, 0))
    view = services.jobs.view(second)
    assert view is not None
    assert [(row.cached, row.cost_usd) for row in view.stages] == [(False, 0.0), *[(True, 0.0)] * 3]
    with services.database.read() as session:
        counts = read_counts(session, None)
        assert counts[Metric.CACHE_HITS] == {"rembg": 1, "realesrgan": 1, "nano_banana": 1}
        assert {each.reason: each.usd for each in avoided(session, "ann")} == {"cache_hit": 0.08}


def test_another_instruction_is_another_picture(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(services, make_job(services, picture()))
    second = make_job(services, picture())
    monkeypatch.setattr("imagery.providers.scene.VERSION", "of another release")
    complete(services, second)
    assert billed(simulator, second) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "on the moon"},
        {"aspect_ratio": "16:9"},
        {"image_size": "2K"},
        {"thinking_level": "high"},
        {"seed": 0},
        {"fresh": True},
        {"owner": "bob"},
        {"photo": picture((40, 40, 200))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_paid_anew(services: Services, simulator: Server, other: dict[str, Any]) -> None:
    complete(services, make_job(services, picture()))
    second = make_job(services, **{"photo": picture(), **other})
    complete(services, second)
    assert billed(simulator, second) == (1, 1)


def test_other_options_still_take_over_the_gpu_stages(services: Services) -> None:
    complete(services, make_job(services, picture()))
    second = make_job(services, picture(), prompt="on the moon")
    assert [run(second, stage)["outcome"] for stage in GPU_STAGES] == [StageOutcome.SUCCEEDED] * 2


def test_shared_means_of_everybody_and_off_means_of_nobody(services: Services) -> None:
    mine = services.stage_cache
    ann = job_of(services, make_job(services, picture()))
    bob = job_of(services, make_job(services, picture(), owner="bob"))
    assert mine.key(ann, Stage.REMBG) != mine.key(bob, Stage.REMBG)
    shared = type(mine)(services.database, read(Settings, {"STAGE_CACHE": "shared"}))
    assert shared.key(ann, Stage.REMBG) == shared.key(bob, Stage.REMBG) is not None
    off = type(mine)(services.database, read(Settings, {"STAGE_CACHE": "off"}))
    assert off.key(ann, Stage.REMBG) is None


def test_a_new_model_version_starts_anew(services: Services) -> None:
    job = job_of(services, make_job(services, picture()))
    renamed = read(Settings, {"GPU_MODEL_VERSION": "2"})
    newer = type(services.stage_cache)(services.database, renamed)
    for stage in (*GPU_STAGES, Stage.NANO_BANANA):
        assert newer.key(job, stage) != services.stage_cache.key(job, stage)


def test_a_result_that_is_gone_is_made_anew(services: Services, simulator: Server) -> None:
    first, second = make_job(services, picture()), make_job(services, picture())
    complete(services, first)
    services.storage.delete(stage_output(first, Stage.NANO_BANANA))
    complete(services, second)
    assert billed(simulator, second) == (1, 1)


def test_the_newest_copy_is_the_one_that_is_kept(services: Services, simulator: Server) -> None:
    first, second, third = (make_job(services, picture()) for _ in range(3))
    complete(services, first)
    assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    services.storage.delete(stage_output(first, Stage.NANO_BANANA))
    assert run(third, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert [billed(simulator, job_id)[1] for job_id in (first, second, third)] == [1, 0, 0]


def test_jobs_for_the_same_picture_at_once_pay_once(services: Services, simulator: Server) -> None:
    jobs = [make_job(services, picture()) for _ in range(4)]
    for job_id in jobs:
        finish_gpu_stages(services, job_id)
    together = threading.Barrier(len(jobs))

    def until_done(job_id: str) -> None:
        together.wait()
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            answer = run(job_id, Stage.NANO_BANANA)
            if answer["outcome"] == StageOutcome.SUCCEEDED:
                return
            assert answer["error_code"] == "same_picture_pending", answer
            time.sleep(0.2)
        raise AssertionError("the twin never ended")

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(until_done, jobs))
    assert sum(billed(simulator, job_id)[1] for job_id in jobs) == 1


class Between:
    """A repository that lets something happen in the middle of another's work."""

    def __init__(self, repository: Any, **steps: Callable[..., Any]) -> None:
        self._repository = repository
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return self._steps.get(name) or getattr(self._repository, name)


def test_a_picture_paid_and_kept_since_this_job_looked_is_not_paid_again(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job(services, picture()), make_job(services, picture())
    for job_id in (first, second):
        finish_gpu_stages(services, job_id)
    looks: list[StageCacheEntry | None] = []

    def find(key: str) -> StageCacheEntry | None:
        looks.append(services.stage_cache.find(key))
        if len(looks) == 1:
            with monkeypatch.context() as patch:
                patch.setattr("activities.stage.get_services", lambda: services)
                assert run(first, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
        return looks[-1]

    slow = replace(services, stage_cache=cast(StageCache, Between(services.stage_cache, find=find)))
    monkeypatch.setattr("activities.stage.get_services", lambda: slow)
    assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert looks[0] is None, "there was nothing when it looked"
    assert (billed(simulator, first), billed(simulator, second)) == ((1, 1), (0, 0))
    with services.database.read() as session:
        entries = session.exec(select(SpendEntry).where(SpendEntry.job_id == second)).all()
        assert [entry.state for entry in entries] == [SpendState.RELEASED], "nothing stays reserved"


def test_a_picture_is_kept_before_its_payment_counts_as_settled(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job(services, picture()), make_job(services, picture())
    for job_id in (first, second):
        finish_gpu_stages(services, job_id)

    def succeed_paid(*given: Any, **more: Any) -> float:
        cost_usd = services.stages.succeed_paid(*given, **more)
        with monkeypatch.context() as patch:
            patch.setattr("activities.stage.get_services", lambda: services)
            assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
        return cost_usd

    slow = replace(services, stages=cast(Stages, Between(services.stages, succeed_paid=succeed_paid)))
    monkeypatch.setattr("activities.stage.get_services", lambda: slow)
    assert run(first, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, first), billed(simulator, second)) == ((1, 1), (0, 0))


def test_a_picture_that_the_sweep_settles_is_kept_too(services: Services, simulator: Server) -> None:
    """Its process died after it had stored the picture, and before it could say so."""
    first, second = make_job(services, picture()), make_job(services, picture())
    for job_id in (first, second):
        finish_gpu_stages(services, job_id)
    services.stages.begin(first, 1, Stage.NANO_BANANA)
    services.ledger.mark_sent(services.ledger.reserve(first, 1, Stage.NANO_BANANA, 0.08).entry_id, 1)
    services.storage.write(stage_output(first, Stage.NANO_BANANA), picture((9, 9, 9)), "image/png")
    with services.database.write() as session:
        session.exec(select(SpendEntry)).one().sent_at = utc_now() - timedelta(days=1)
    assert close_lost_calls(services, 10) == 1
    assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, second) == (0, 0)
    taken = services.storage.read(stage_output(second, Stage.NANO_BANANA))
    assert pixels(taken) == pixels(picture((9, 9, 9)))


def test_a_paid_picture_that_can_not_be_copied_now_is_not_paid_again(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job(services, picture()), make_job(services, picture())
    complete(services, first)
    finish_gpu_stages(services, second)

    def read(ref: BlobRef, *more: Any) -> bytes:
        if ref == stage_output(first, Stage.NANO_BANANA):
            raise StorageError("the store is away")
        return services.storage.read(ref, *more)

    away = replace(services, storage=cast(Storage, Between(services.storage, read=read)))
    with monkeypatch.context() as patch:
        patch.setattr("activities.stage.get_services", lambda: away)
        with pytest.raises(TransientStageError):
            run(second, Stage.NANO_BANANA)
    assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, first), billed(simulator, second)) == ((1, 1), (0, 0))


def test_a_twin_whose_call_fails_lets_the_other_pay(services: Services, simulator: Server) -> None:
    first, second = make_job(services, picture()), make_job(services, picture())
    for job_id in (first, second):
        finish_gpu_stages(services, job_id)
    simulator.client.post("/_simulator/faults", json={"next": ["safety"]})
    assert run(first, Stage.NANO_BANANA)["outcome"] == StageOutcome.REJECTED
    assert run(second, Stage.NANO_BANANA)["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, first)[1], billed(simulator, second)[1]) == (0, 1)
