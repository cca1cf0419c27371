"""Ways an orchestration can take, each with a script that answers its activities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from imagery.contracts import BatchInput, BatchItem, CallbackInput, PipelineInput, RetryPolicy
from tests.orchestrators.replay import START, FailedError, Script

_POLICY = RetryPolicy(first_s=2, coefficient=2, cap_s=5, attempts=4)
_STAGES = {
    "guardrail": "guardrail",
    "remove_background": "rembg",
    "upscale": "realesrgan",
    "place": "nano_banana",
}
_RAISE = "raise"


@dataclass(frozen=True)
class Scenario:
    """An orchestrator, its input, and how to make a script that is used up by one run."""

    orchestrator: str
    given: dict[str, Any]
    script: Callable[[], Script]


def _pipeline(job_id: str = "job") -> PipelineInput:
    return PipelineInput(
        job_id=job_id,
        deadline=START + timedelta(hours=1),
        gpu_retry=_POLICY,
        nano_banana_retry=_POLICY,
        records_retry=_POLICY,
        max_waits=3,
    )


def _answers(callback: str | None = None, **answers: list[Any]) -> Script:
    """Success, unless there is an answer left for the activity."""
    left = {name: list(each) for name, each in answers.items()}

    def script(name: str, given: Any) -> Any:
        answer = left[name].pop(0) if left.get(name) else None
        if answer == _RAISE:
            raise FailedError(f"Activity function '{name}' failed: it broke")
        if name == "finish_job":
            ended = {key: given[key] for key in ("job_id", "state", "stage", "error_code")}
            return {**ended, "delivery_id": callback}
        if name == "notify":
            return answer or {"delivered": True, "retry_after_s": None}
        return {"stage": _STAGES[name], "outcome": "succeeded", **(answer or {})}

    return script


def _image(callback: str | None = None, **answers: list[Any]) -> Scenario:
    return Scenario("image_pipeline", _pipeline().to_json(), lambda: _answers(callback, **answers))


def _batch(count: int, parallel: int, broken: str) -> Scenario:
    items = [BatchItem(instance_id=f"job{n}-1", pipeline=_pipeline(f"job{n}")) for n in range(count)]
    order = BatchInput(batch_id="batch", parallel=parallel, pipelines=items)

    def script(_: str, given: Any) -> Any:
        job_id = (json.loads(given) if isinstance(given, str) else given)["job_id"]
        if job_id == broken:
            raise FailedError("Orchestrator function 'image_pipeline' failed: it broke")
        return {"job_id": job_id, "state": "COMPLETED", "stage": None, "error_code": None}

    return Scenario("batch", order.to_json(), lambda: script)


def _callback(*answers: Any) -> Scenario:
    order = CallbackInput(delivery_id="delivery", max_attempts=5, records_retry=_POLICY)
    return Scenario("callback", order.to_json(), lambda: _answers(notify=list(answers)))


def _ends(outcome: str, code: str) -> list[Any]:
    return [{"outcome": outcome, "error_code": code, "message": "because"}]


def _later(seconds: float, code: str, times: int = 1) -> list[Any]:
    return [{"outcome": "retry_later", "retry_after_s": seconds, "error_code": code}] * times


SCENARIOS = {
    "happy_path": _image(),
    "guardrail_rejects": _image(guardrail=_ends("rejected", "not_an_image")),
    "guardrail_waits_for_a_worker": _image(guardrail=_later(10, "guardrail_busy", 2)),
    "rembg_failed": _image(remove_background=_ends("failed", "gpu_out_of_memory")),
    "rembg_finds_no_subject": _image(remove_background=_ends("rejected", "no_subject")),
    "gpu_fails_twice": _image(remove_background=[_RAISE, _RAISE], upscale=[_RAISE]),
    "gpu_retries_exhausted": _image(upscale=[_RAISE] * 4),
    "gpu_busy": _image(
        remove_background=_later(5, "gpu_busy", 2), upscale=[*_later(3, "gpu_starting"), _RAISE]
    ),
    "nano_banana_503_twice": _image(place=[_RAISE, _RAISE]),
    "nano_banana_429": _image(place=_later(27.5, "nano_banana_rate_limited")),
    "nano_banana_503_exhausted": _image(place=[_RAISE] * 4),
    "payment_unknown": _image(place=_ends("failed", "payment_unknown")),
    "safety_refusal": _image(place=_ends("rejected", "nano_banana_safety")),
    "deadline_passed": _image(remove_background=_later(999_999, "gpu_busy")),
    "too_many_waits": _image(upscale=_later(1, "gpu_busy", 10)),
    "cancelled": _image(upscale=_ends("cancelled", "cancelled")),
    "finish_fails_twice": _image(finish_job=[_RAISE, _RAISE]),
    "with_callback": _image(callback="delivery"),
    "with_callback_that_breaks": _image(callback="delivery", notify=[_RAISE]),
    "batch": _batch(5, 2, "job1"),
    "batch_in_one_go": _batch(3, 8, "none"),
    "callback_at_once": _callback(),
    "callback_retries": _callback(
        {"delivered": False, "retry_after_s": 5.5}, _RAISE, {"delivered": False, "retry_after_s": 20.0}
    ),
    "callback_given_up": _callback(*[{"delivered": False, "retry_after_s": 5.0}] * 5),
}
