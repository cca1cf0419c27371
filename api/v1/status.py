"""``GET /status/{job_id}``: where a job stands; ``?wait=`` holds the response until something changes."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Caller
from api.errors import job_not_found
from api.problems import problems
from api.views import JobStatus, job_status
from api.waiting import come_again_s, waiting_room
from imagery.contracts import GpuProgress, JobState
from imagery.database.job_views import JobView
from imagery.principal import Principal
from imagery.services import get_services
from imagery.text import is_id
from lifecycle.gpu_cancel import gpu_ticket, is_at_gpu

router = APIRouter(tags=["jobs"])
_LOOK_EVERY_S = 0.2
_ASK_GPU_EVERY_S = 1.0


@router.get("/status/{job_id}", responses=problems(404, 422))
async def get_job_status(
    caller: Caller,
    response: Response,
    job_id: str,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for a change (long poll).")] = 0.0,
    seen: Annotated[
        datetime | None,
        Query(description="`updated_at` that the caller knows: a later state is returned at once."),
    ] = None,
) -> JobStatus:
    """Get state, stages, error and cost of a job.

    With `wait` the response is held until something changes, also the progress at the GPU. While many of
    the caller's requests, or of all, are held already, it comes at once, with `Retry-After`.
    """
    view = await load(job_id, caller)
    longest = min(wait, get_services().settings.api.long_poll.status_s)
    if longest <= 0 or _ended(view):
        return job_status(view, await _progress(view))
    with waiting_room.seat(caller.user_id) as seated:
        if not seated:
            response.headers["Retry-After"] = str(come_again_s())
            longest = 0.0
        return await _changed(view, caller, seen, time.monotonic() + longest)


async def _changed(view: JobView, caller: Principal, seen: datetime | None, until: float) -> JobStatus:
    """The job's status once it differs from what the caller knows, or when it is ``until`` (monotonic)."""
    known = seen or view.job.updated_at
    first = progress = await _progress(view)
    looked = time.monotonic()
    while (
        time.monotonic() < until and view.job.updated_at == known and progress == first and not _ended(view)
    ):
        await asyncio.sleep(_LOOK_EVERY_S)
        view = await load(view.job.job_id, caller)
        if time.monotonic() - looked >= _ASK_GPU_EVERY_S:
            progress, looked = await _progress(view), time.monotonic()
    return job_status(view, progress)


async def _progress(view: JobView) -> GpuProgress | None:
    """What the GPU service does for the job, asked only while a stage of it runs there."""
    row = next(filter(is_at_gpu, view.stages), None)
    if row is None or _ended(view):
        return None
    return await asyncio.to_thread(get_services().gpu.progress, view.job.job_id, gpu_ticket(row))


async def load(job_id: str, caller: Principal) -> JobView:
    """A job that the caller may see. Raises ``ApiError`` 404."""
    if not is_id(job_id):
        raise job_not_found(job_id)
    view = await asyncio.to_thread(get_services().jobs.view, job_id)
    if view is None or not caller.may_see(view.job.owner_id):
        raise job_not_found(job_id)
    return view


def _ended(view: JobView) -> bool:
    return JobState(view.job.state).is_terminal
