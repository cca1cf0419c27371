"""Stage 2: upscale the cut-out 4x (Real-ESRGAN, in the GPU container)."""

from __future__ import annotations

from activities.gpu_stage import run_gpu_stage
from activities.stage import run_stage
from imagery.contracts import JsonObject, Stage


def upscale(message: JsonObject) -> JsonObject:
    """Activity of the realesrgan stage."""
    return run_stage(
        message,
        Stage.REALESRGAN,
        lambda services, order, begun: run_gpu_stage(
            services, order, begun, Stage.REMBG, services.gpu.upscale
        ),
    )
