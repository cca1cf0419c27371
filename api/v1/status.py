"""``GET /status/{job_id}``: where a job stands; ``?wait=`` holds the answer until something changes."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Caller
from api.errors import job_not_found
from api.views import JobStatus, job_status
from imagery.contracts import JobState
from imagery.database.jobs import JobView
from imagery.principal import Principal
from imagery.services import get_services

router = APIRouter(tags=["jobs"])
_LOOK_EVERY_S = 0.2
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@router.get("/status/{job_id}")
async def status(
    caller: Caller,
    job_id: str,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for a change (long poll).")] = 0.0,
) -> JobStatus:
    """State, stages, error and cost of a job."""
    view = await load(job_id, caller)
    until = time.monotonic() + min(wait, get_services().settings.status_wait_max_s)
    first = view.job.updated_at
    while time.monotonic() < until and view.job.updated_at == first and not _ended(view):
        await asyncio.sleep(_LOOK_EVERY_S)
        view = await load(job_id, caller)
    return job_status(view)


async def load(job_id: str, caller: Principal) -> JobView:
    """A job that the caller may see. Raises ``ApiError`` 404."""
    if not is_id(job_id):
        raise job_not_found(job_id)
    view = await asyncio.to_thread(get_services().jobs.view, job_id)
    if view is None or not caller.may_see(view.job.owner_id):
        raise job_not_found(job_id)
    return view


def is_id(text: str) -> bool:
    """True when the text could be an id of ours; anything else is kept away from the database."""
    return _ID.fullmatch(text) is not None


def _ended(view: JobView) -> bool:
    return JobState(view.job.state).is_terminal
