"""Stage 1: cut the subject out (rembg, in the GPU container)."""

from __future__ import annotations

from activities.gpu_stage import run_gpu_stage
from activities.stage import run_stage
from imagery.contracts import JsonObject, Stage


def remove_background(message: JsonObject) -> JsonObject:
    """Activity of the rembg stage."""
    return run_stage(
        message,
        Stage.REMBG,
        lambda services, order, begun: run_gpu_stage(
            services, order, begun, Stage.GUARDRAIL, services.gpu.remove_background
        ),
    )
