"""The pipeline's decisions, replayed by the real SDK."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from imagery.contracts import FinishInput, JobOutput, JobState, PipelineInput, RetryPolicy
from tests.orchestrators.replay import START, FailedError, Run

POLICY = RetryPolicy(first_s=2, coefficient=2, cap_s=5, attempts=4)
STAGES = {
    "guardrail": "guardrail",
    "remove_background": "rembg",
    "upscale": "realesrgan",
    "place": "nano_banana",
}


def pipeline(**more: Any) -> dict[str, Any]:
    values = {
        "job_id": "job",
        "deadline": START + timedelta(hours=1),
        "gpu_retry": POLICY,
        "nano_banana_retry": POLICY,
        "records_retry": POLICY,
        "max_waits": 3,
    }
    return PipelineInput.model_validate(values | more).to_json()


class Script:
    """Answers activities: success unless told otherwise; ``answers`` are used up one by one."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.finished: list[FinishInput] = []

    def __call__(self, name: str, given: dict[str, Any]) -> Any:
        if name == "finish_job":
            order = FinishInput.from_json(given)
            self.finished.append(order)
            return {"job_id": "job", "state": order.state, "stage": order.stage}
        assert given["stage"] == STAGES[name]
        waiting = self.answers.get(name)
        answer = waiting.pop(0) if waiting else {"outcome": "succeeded"}
        if answer == "raise":
            raise FailedError("it broke")
        return {"stage": STAGES[name], **answer}


def run(script: Script, **more: Any) -> Run:
    return Run("image_pipeline", pipeline(**more), script)


def test_all_stages_run_in_order_and_the_job_completes() -> None:
    script = Script()
    done = run(script)
    assert done.calls() == ["guardrail", "remove_background", "upscale", "place", "finish_job"]
    assert [(order.state, order.stage) for order in script.finished] == [(JobState.COMPLETED, None)]
    assert done.timers() == []


@pytest.mark.parametrize(
    ("output", "activities"),
    [
        (JobOutput.SCENE, ["guardrail", "remove_background", "upscale", "place"]),
        (JobOutput.UPSCALED_CUTOUT, ["guardrail", "remove_background", "upscale"]),
        (JobOutput.CUTOUT, ["guardrail", "remove_background"]),
        (JobOutput.UPSCALED, ["guardrail", "upscale"]),
    ],
)
def test_only_the_stages_that_were_chosen_run(output: JobOutput, activities: list[str]) -> None:
    script = Script()
    done = run(script, stages=output.stages)
    assert done.calls() == [*activities, "finish_job"]
    assert [(order.state, order.stage) for order in script.finished] == [(JobState.COMPLETED, None)]
    for length, state, new in done.episodes:
        again, replay = done.episode(length)
        assert (again, replay.new) == (state, new)


@pytest.mark.parametrize(
    ("activity", "outcome", "state"),
    [
        ("guardrail", "rejected", JobState.REJECTED),
        ("guardrail", "refused", JobState.REJECTED),  # the word of histories recorded before
        ("guardrail", "failed", JobState.FAILED),
        ("remove_background", "rejected", JobState.FAILED),
        ("remove_background", "failed", JobState.FAILED),
        ("upscale", "failed", JobState.FAILED),
        ("upscale", "cancelled", JobState.CANCELLED),
        ("place", "rejected", JobState.FAILED),
    ],
)
def test_a_stage_that_does_not_succeed_ends_the_job(activity: str, outcome: str, state: JobState) -> None:
    script = Script(**{activity: [{"outcome": outcome, "error_code": "why", "message": "because"}]})
    done = run(script)
    order = script.finished[0]
    assert (order.state, order.stage, order.error_code) == (state, STAGES[activity], "why")
    stages = list(STAGES)
    assert done.calls() == [*stages[: stages.index(activity) + 1], "finish_job"]


@pytest.mark.parametrize("activity", ["guardrail", "remove_background", "upscale"])
def test_a_stage_that_keeps_failing_never_reaches_the_paid_stage(activity: str) -> None:
    script = Script(**{activity: ["raise"] * 4})
    done = run(script)
    assert Counter(done.calls())[activity] == 4
    assert "place" not in done.calls()
    order = script.finished[0]
    assert (order.state, order.stage, order.error_code) == (JobState.FAILED, STAGES[activity], None)


def test_retries_wait_exponentially_up_to_the_cap() -> None:
    done = run(Script(place=["raise"] * 3))
    failures = [event["Timestamp"] for event in done.history if event["EventType"] == 6]
    waits = [
        (timer.fire_at.isoformat(), failed)
        for timer, failed in zip(done.timers(), failures, strict=True)
        if timer.fire_at
    ]
    from datetime import datetime

    seconds = [
        (datetime.fromisoformat(fires) - datetime.fromisoformat(failed)).seconds for fires, failed in waits
    ]
    # a second longer than the policy, of which a queue may cut off the fraction
    assert seconds == [3, 6, 6]
    assert done.output["state"] == "COMPLETED"


def test_a_wait_that_a_server_asks_for_is_a_durable_timer() -> None:
    script = Script(place=[{"outcome": "retry_later", "retry_after_s": 27.5, "error_code": "limit"}])
    done = run(script)
    assert done.output["state"] == "COMPLETED"
    assert len(done.timers()) == 1
    at = next(state for _, state, new in done.episodes if any(each.kind == "timer" for each in new))
    assert at["customStatus"]["doing"] == "waiting: limit"
    assert at["customStatus"]["waiting_until"] is not None


def test_waits_are_bounded_in_number() -> None:
    later = {"outcome": "retry_later", "retry_after_s": 1}
    script = Script(upscale=[later] * 10)
    done = run(script)
    assert script.finished[0].error_code == "too_many_waits"
    assert len(done.timers()) == 4
    assert "place" not in done.calls()


def test_a_stage_is_told_how_often_it_has_waited() -> None:
    told: list[tuple[str, int]] = []
    script = Script(upscale=[{"outcome": "retry_later", "retry_after_s": 5}] * 2)

    def record(name: str, given: dict[str, Any]) -> Any:
        told.append((name, given.get("waits", 0)))
        return script(name, given)

    Run("image_pipeline", pipeline(), record)
    assert [waits for name, waits in told if name == "upscale"] == [0, 1, 2]
    assert [waits for name, waits in told if name == "place"] == [0]


def test_no_wait_outlasts_the_deadline() -> None:
    script = Script(remove_background=[{"outcome": "retry_later", "retry_after_s": 999_999}])
    done = run(script)
    assert script.finished[0].error_code == "deadline_exceeded"
    assert done.timers()[0].fire_at == START + timedelta(hours=1)
    assert "place" not in done.calls()


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(place=["raise", "raise"]),
        Script(upscale=[{"outcome": "retry_later", "retry_after_s": 5}, "raise"]),
        Script(remove_background=["raise"] * 4),
    ],
)
def test_every_episode_can_be_replayed_to_the_same_actions(script: Script) -> None:
    done = run(script)
    for length, state, new in done.episodes:
        again, replay = done.episode(length)
        assert again == state
        assert replay.new == new


def test_a_message_of_an_older_version_is_understood() -> None:
    old = pipeline()
    del old["max_waits"]
    del old["run"]
    assert Run("image_pipeline", old, Script()).output["state"] == "COMPLETED"


def test_a_batch_runs_so_many_at_a_time_and_outlives_a_broken_one() -> None:
    items = [{"instance_id": f"i{n}", "pipeline": pipeline(job_id=f"j{n}")} for n in range(5)]
    seen: list[str] = []

    def script(name: str, given: Any) -> Any:
        job_id = json.loads(given)["job_id"] if isinstance(given, str) else given["job_id"]
        seen.append(job_id)
        if job_id == "j1":
            raise FailedError("broken")
        return {"job_id": job_id}

    done = Run("batch", {"batch_id": "b", "parallel": 2, "pipelines": items}, script)
    assert seen == ["j0", "j1", "j2", "j3", "j4"]
    assert done.output == {"items": 5, "ended": 5}
    widths = [len(new) for _, _, new in done.episodes if new]
    assert widths == [2, 2, 1]


def test_an_item_of_a_batch_gets_its_time_when_its_turn_comes() -> None:
    items = [{"instance_id": f"i{n}", "pipeline": pipeline(job_id=f"j{n}")} for n in range(3)]
    script = Script()
    order = {"batch_id": "b", "parallel": 1, "pipelines": items, "job_deadline_s": 60}
    deadlines: list[datetime] = []

    def record(name: str, given: Any) -> Any:
        told = PipelineInput.from_json(json.loads(given) if isinstance(given, str) else given)
        deadlines.append(told.deadline)
        return script("finish_job", {"job_id": told.job_id, "run": 1, "state": "COMPLETED"})

    done = Run("batch", order, record)
    begun = [START + timedelta(seconds=1 + n) for n in range(3)]
    assert deadlines == [moment + timedelta(seconds=60) for moment in begun]
    for length, state, new in done.episodes:
        again, replay = done.episode(length)
        assert again == state
        assert replay.new == new
