"""What a file, or a job's delivered picture, says of where it comes from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, UploadFile

from api.auth import Caller
from api.errors import ApiError
from api.guarded import in_waiting_thread
from api.pace import verifications
from api.problems import problems
from api.v1.jobs import expired
from api.v1.status import load
from imagery.contracts import JobOptions, Stage, StageState, stage_output
from imagery.database.job_views import JobView
from imagery.guardrail.turns import Rank, Turn
from imagery.provenance.credentials import Credentials
from imagery.services import get_services
from imagery.storage import BlobNotFoundError

router = APIRouter(tags=["provenance"])


@router.get("/jobs/{job_id}/provenance", responses=problems(404, 410, 429))
async def get_provenance(caller: Caller, job_id: str) -> Credentials:
    """Read what a job's delivered picture says of itself: who signed it, what was done, from what.

    The file itself is read, so it is what a reader elsewhere finds in it.
    """
    view = await load(job_id, caller)
    if view.job.expired_at is not None:
        raise expired(view.job)
    verifications.check(caller.user_id)
    result = JobOptions.from_json(view.job.options).output.result
    try:
        return await in_waiting_thread(_of_picture, job_id, result, caller.user_id)
    except BlobNotFoundError:
        raise _no_picture(view, result) from None


def _of_picture(job_id: str, result: Stage, owner: str) -> Credentials:
    services = get_services()
    data = services.storage.read(stage_output(job_id, result))
    return services.guardrail.credentials(data, Turn(owner, Rank.VALIDATION))


def _no_picture(view: JobView, result: Stage) -> ApiError:
    job_id, row = view.job.job_id, next((row for row in view.stages if row.stage == result), None)
    if row is not None and row.state == StageState.SUCCEEDED:
        # retention deletes the pictures first, and records it last
        detail = "The picture was delivered, and is gone. The job's status says what was known of it."
        return ApiError(410, "image_expired", detail, job_id=job_id)
    detail = "The job has delivered no picture yet. Look at its status."
    return ApiError(404, "provenance_not_found", detail, job_id=job_id)


@router.post("/provenance/verify", responses=problems(400, 422, 429))
async def verify_file(
    caller: Caller,
    file: Annotated[UploadFile, File(description="A file of any kind.")],
) -> Credentials:
    """Read a file's Content Credentials (C2PA): who signed it, what was done, and what it was made from.

    Nothing is kept, and nothing is fetched: a manifest that lies at another host counts as none. A file
    without credentials is a 200 too.
    """
    if not caller.sees_everything:
        verifications.check(caller.user_id)
    data = await file.read()
    return await in_waiting_thread(_verify, data, caller.user_id)


def _verify(data: bytes, owner: str) -> Credentials:
    return get_services().guardrail.credentials(data, Turn(owner, Rank.VALIDATION))
