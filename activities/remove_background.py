"""Stage 1: cut the subject out (rembg, in the GPU container)."""

from __future__ import annotations

from activities.attempt import Attempt
from activities.gpu_stage import work_on_gpu
from activities.stage import run_stage
from imagery.contracts import JsonObject, Stage, StageResult


def remove_background(message: JsonObject) -> JsonObject:
    """Activity of the rembg stage."""
    return run_stage(message, Stage.REMBG, work)


def work(attempt: Attempt) -> StageResult:
    """Cut the subject out of the guardrail's clean copy."""
    return work_on_gpu(attempt, Stage.GUARDRAIL, attempt.services.gpu.remove_background)
