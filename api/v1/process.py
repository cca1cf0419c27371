"""``POST /process``: one photo, sent as a file or named as an uploaded blob."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from api.auth import Caller
from api.durable import durable_client
from api.errors import ApiError
from api.guarded import in_waiting_thread
from api.intake import IdempotencyKey, job_id_of, job_request, read_submission
from api.price_limit import check_price
from api.problems import STARTED, Responses, problems
from api.views import AcceptedJob, accepted
from imagery.services import get_services
from lifecycle.starter import submit

router = APIRouter(tags=["jobs"])
_RETRY_AFTER_S = "2"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/JobFromFile"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/JobFromBlob"}},
        },
    }
}
_ACCEPTED: Responses = {
    200: {"model": AcceptedJob, "description": "The job exists already; nothing was started."},
    202: {"headers": STARTED},
}


@router.post(
    "/process",
    status_code=202,
    openapi_extra=_BODY,
    responses={**_ACCEPTED, **problems(400, 402, 403, 404, 409, 415, 422, 429)},
)
async def submit_job(
    request: Request,
    response: Response,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> AcceptedJob:
    """Start the job of one photo, sent as a file or named as an uploaded blob.

    The same `Idempotency-Key` with the same body returns the same job (200). Without a key, a blob that is
    named again with the same options is the same job too: an upload starts its job by itself, and must not
    be paid twice. A picture that costs more than `max_usd` is not started (402).
    """
    submission = await read_submission(request, caller)
    job_id = job_id_of(submission, caller, idempotency_key)
    job, created = None, False
    if idempotency_key or submission.options.max_usd is not None:
        job = await asyncio.to_thread(get_services().jobs.get, job_id)
    if job is None:
        check_price(submission.options)
        wanted = await in_waiting_thread(job_request, submission, caller, job_id)
        job, created = await submit(durable_client(), wanted)
    if idempotency_key and job.request_hash != submission.fingerprint:
        detail = "This Idempotency-Key was used with another body. Use a new key for a new request."
        raise ApiError(409, "idempotency_key_reused", detail, job_id=job_id)
    body = accepted(job)
    response.status_code = 202 if created else 200
    response.headers["Location"] = body.links.self
    response.headers["Retry-After"] = _RETRY_AFTER_S
    return body
