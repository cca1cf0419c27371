"""Stage 2: upscale the picture 4x (Real-ESRGAN, in the GPU container)."""

from __future__ import annotations

from activities.attempt import Attempt
from activities.gpu_stage import work_on_gpu
from activities.stage import run_stage
from imagery.contracts import JsonObject, Stage, StageResult


def upscale(message: JsonObject) -> JsonObject:
    """Activity of the realesrgan stage."""
    return run_stage(message, Stage.REALESRGAN, work)


def work(attempt: Attempt) -> StageResult:
    """Upscale the cut-out, or the guardrail's clean copy where no cut-out was asked for."""
    source = attempt.options.output.source_of(Stage.REALESRGAN)
    return work_on_gpu(attempt, source, attempt.services.gpu.upscale)
