"""Batches: many uploaded blobs in one request."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Caller
from api.durable import durable_client
from api.errors import ApiError
from api.guarded import in_waiting_thread
from api.v1.process import BlobRequest, checked_callback, refusals, uploaded
from api.v1.status import is_id
from api.views import JobStatus, job_status
from imagery.contracts import JobOptions, JobRequest, JobState
from imagery.database.quotas import QuotaExceededError
from imagery.database.tables import ImageJob
from imagery.job_ids import upload_job_id
from imagery.principal import Principal
from imagery.safe_http import RefusedUrlError
from imagery.services import get_services
from imagery.storage import StorageError
from imagery.uploads import owner_of
from imagery.webhooks import SigningKeyError
from orchestrators.starter import create, start_batch

router = APIRouter(prefix="/batches", tags=["batches"])
_RETRY_AFTER_S = "5"
_MAX_CALLBACK_URLS = 10


class BatchRequest(BaseModel):
    """The images of a batch."""

    items: list[BlobRequest] = Field(min_length=1)


class RefusedItem(BaseModel):
    """An item for which there is no job."""

    index: int
    blob: str
    code: str
    message: str


class ItemError(Exception):
    """An item can't be part of the batch."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BatchStatus(BaseModel):
    """A batch: how many jobs are in which state, and each of them."""

    batch_id: str
    items: int
    ended: int
    progress: float = Field(ge=0, le=1)
    states: dict[JobState, int]
    jobs: list[JobStatus]
    refused: list[RefusedItem] = []


@router.post("", status_code=202)
async def create_batch(request: BatchRequest, response: Response, caller: Caller) -> BatchStatus:
    """Start a job for each item; items that can't start are told in `refused` and cost nothing.

    A blob whose upload has started its job already joins the batch with that job.
    """
    most = get_services().settings.batch_max_items
    if len(request.items) > most:
        raise ApiError(422, "batch_too_large", f"A batch takes up to {most} items.")
    batch_id = str(uuid.uuid4())
    different = {item.callback_url for item in request.items}
    if len(different) > _MAX_CALLBACK_URLS:
        detail = f"A batch takes up to {_MAX_CALLBACK_URLS} different callback URLs."
        raise ApiError(422, "too_many_callback_urls", detail)
    jobs, refused = await in_waiting_thread(_create_jobs, batch_id, caller, request.items)
    if len(refused) == len(request.items):
        errors = [item.model_dump() for item in refused]
        raise ApiError(422, "batch_empty", "None of the items can be processed.", errors=errors)
    if jobs:
        await start_batch(durable_client(), batch_id, jobs)
    response.headers["Location"] = f"/api/v1/batches/{batch_id}"
    response.headers["Retry-After"] = _RETRY_AFTER_S
    status = await _load(batch_id, caller)
    return status.model_copy(update={"refused": refused})


@router.get("/{batch_id}")
async def batch_status(batch_id: str, caller: Caller) -> BatchStatus:
    """State of a batch and of each of its jobs."""
    return await _load(batch_id, caller)


async def _load(batch_id: str, caller: Principal) -> BatchStatus:
    if not is_id(batch_id):
        raise _batch_not_found(batch_id)
    services = get_services()
    page = await asyncio.to_thread(
        services.jobs.page,
        owner_id=caller.scope,
        batch_id=batch_id,
        limit=services.settings.batch_max_items,
    )
    if not page.jobs:
        raise _batch_not_found(batch_id)
    jobs = [job_status(view) for view in reversed(page.jobs)]
    ended = sum(job.state.is_terminal for job in jobs)
    return BatchStatus(
        batch_id=batch_id,
        items=len(jobs),
        ended=ended,
        progress=ended / len(jobs),
        states=dict(Counter(job.state for job in jobs)),
        jobs=jobs,
    )


def _batch_not_found(batch_id: str) -> ApiError:
    return ApiError(404, "batch_not_found", f"There is no batch '{batch_id[:100]}'.")


def _create_jobs(
    batch_id: str, caller: Principal, items: list[BlobRequest]
) -> tuple[list[ImageJob], list[RefusedItem]]:
    """The jobs that this batch has to start, and the items that get none."""
    jobs: list[ImageJob] = []
    refused: list[RefusedItem] = []
    taken: set[str] = set()
    # each URL is looked up once, not once an item
    check = lru_cache(checked_callback)
    for index, item in enumerate(items):
        try:
            request = _job_request(batch_id, caller, item, check)
            if request.job_id in taken:
                raise ItemError("duplicate_item", "The batch names this blob with these options twice.")
            job, created = create(request)
            if not created and get_services().jobs.adopt(job.job_id, batch_id) is None:
                raise ItemError("in_another_batch", "Another batch has this blob with these options.")
        except (
            StorageError,
            ItemError,
            QuotaExceededError,
            RefusedUrlError,
            SigningKeyError,
        ) as error:
            refused.append(RefusedItem(index=index, blob=item.blob, code=error.code, message=str(error)))
            continue
        taken.add(job.job_id)
        if created:
            jobs.append(job)
    return jobs, refused


def _job_request(
    batch_id: str, caller: Principal, item: BlobRequest, check: Callable[[str | None], str | None]
) -> JobRequest:
    source = uploaded(item.blob, caller)
    failed = refusals(item.prompt)
    if failed:
        raise ItemError(failed[0].code or "rejected", failed[0].message)
    url = check(item.callback_url)
    properties = get_services().storage.properties(source)
    pinned = source.model_copy(update={"etag": properties.etag})
    options = JobOptions.model_validate(item.model_dump(exclude={"blob", "callback_url"}))
    return JobRequest(
        job_id=upload_job_id(pinned, options),
        source=pinned,
        owner_id=owner_of(source),
        options=options,
        content_type=properties.content_type,
        batch_id=batch_id,
        callback_url=url,
    )
