"""What the two GPU stages share: the call, and what each of its errors means for the job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from activities.stage import failed, refused, retry_later, succeeded, transient
from imagery.contracts import GpuReport, GpuRequest, Stage, StageInput, StageOutcome, stage_output
from imagery.gpu_client import GpuBusy, GpuError, GpuRefused
from imagery.services import Services

Call = Callable[[GpuRequest, datetime], GpuReport]


def run_gpu_stage(services: Services, order: StageInput, source: Stage, call: Call) -> StageOutcome:
    """Let the GPU service work from the output of ``source`` to the output of this stage."""
    target = stage_output(order.job_id, order.stage)
    request = GpuRequest(job_id=order.job_id, source=stage_output(order.job_id, source), target=target)
    try:
        report = call(request, order.deadline)
    except GpuBusy as busy:
        return retry_later(services, order, busy.code, busy.message, busy.retry_after_s)
    except GpuRefused as error:
        return refused(services, order, error.code, error.message)
    except GpuError as error:
        if error.retryable:
            raise transient(services, order, error.code, error.message) from error
        return failed(services, order, error.code, error.message)
    services.stages.succeed(
        order.job_id,
        order.stage,
        target,
        "image/png",
        vram_used_gb=report.vram_used_gb,
        duration_ms=None if report.reused else report.duration_ms,
    )
    return succeeded(order.stage, target)
