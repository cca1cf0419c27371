"""Tells the GPU service of jobs that nobody wants any more, so that its device works for others."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from imagery.contracts import GpuTicket, Stage, StageState
from imagery.database.job_views import JobView
from imagery.database.tables import StageRun
from imagery.services import get_services

GPU_STAGES = frozenset({Stage.REMBG.value, Stage.REALESRGAN.value})
_AT_ONCE = 8


def gpu_ticket(row: StageRun) -> GpuTicket | None:
    """The ticket of the work that the GPU does for a stage. Returns None if it may have none."""
    return GpuTicket.from_json(row.ticket) if row.ticket else None


def is_at_gpu(row: StageRun) -> bool:
    """True while the GPU works on a stage, or may do so: a sleeping one must not be woken."""
    return row.stage in GPU_STAGES and row.state == StageState.RUNNING


def tell_gpu(views: Iterable[JobView]) -> int:
    """Cancel the work of these jobs, as they were before they ended. Returns how many were told.

    What can't be told ends with the job's deadline.
    """
    works = [(view.job.job_id, gpu_ticket(row)) for view in views for row in view.stages if is_at_gpu(row)]
    if not works:
        return 0
    gpu = get_services().gpu
    with ThreadPoolExecutor(min(len(works), _AT_ONCE)) as pool:
        return sum(pool.map(lambda work: gpu.cancel(*work), works))
