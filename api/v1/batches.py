"""Batches: many uploaded blobs in one request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.auth import Caller
from api.cursor import format_cursor, parse_cursor
from api.durable import durable_client
from api.errors import ApiError
from api.etag import TAGGED, IfNoneMatch, tagged
from api.guarded import in_waiting_thread
from api.intake import IdempotencyKey, JobFromBlob
from api.price_limit import check_sum, shared
from api.problems import STARTED, Responses, problems
from api.v1.batch_items import RefusedBatchItem, create_jobs
from api.views import JobStatus, View, job_status
from imagery.contracts import JobState
from imagery.contracts.jobs import NotBoolean
from imagery.database.job_views import JobFilter, JobViewPage
from imagery.database.money import to_usd
from imagery.database.tables import Batch
from imagery.job_ids import keyed_batch_id
from imagery.principal import Principal
from imagery.services import get_services
from imagery.text import is_id
from lifecycle import batch_starter

router = APIRouter(prefix="/batches", tags=["batches"])
_RETRY_AFTER_S = "5"
_MAX_ITEMS = 1000
# jobs of a page
_JOBS = 50
_MAX_CALLBACK_URLS = 10


class BatchRequest(BaseModel):
    """The uploaded blobs of a batch."""

    items: list[JobFromBlob] = Field(min_length=1)
    max_usd: Annotated[float | None, NotBoolean] = Field(
        default=None,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="Most that all pictures together may cost, USD: above it nothing is started.",
    )


class BatchSummary(View):
    """A batch in the list."""

    batch_id: str
    created_at: datetime
    requested: int = Field(description="Items of the request: those with a job, and those refused.")
    items: int = Field(description="Items with a job.")
    ended: int
    progress: float = Field(ge=0, le=1)
    states: dict[JobState, int]
    cancelled_at: datetime | None = None


class BatchStatus(BatchSummary):
    """A batch: how many jobs are in which state, what they cost, and a page of them."""

    cost_usd: float
    estimated_usd: float = Field(description="What its open jobs are expected to cost yet.")
    jobs: list[JobStatus] = Field(description="The first jobs, or those behind `cursor`, oldest first.")
    cursor: str | None = Field(default=None, description="Pass it back as ?cursor= for the next jobs.")
    refused: list[RefusedBatchItem] = Field(description="Items without a job; with the first page only.")


class BatchPage(View):
    """A page of batches, newest first."""

    batches: list[BatchSummary]
    cursor: str | None = Field(default=None, description="Pass it back as ?cursor= for the next page.")


_ACCEPTED: Responses = {
    200: {"model": BatchStatus, "description": "The batch exists already; nothing was started."},
    202: {"headers": STARTED},
}


@router.get("", response_model=BatchPage, responses={**TAGGED, **problems(422)})
def list_batches(
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """List batches, newest first."""
    position = parse_cursor(cursor) if cursor else None
    found = get_services().batches.page(caller.scope, limit + 1, position)
    shown = found[:limit]
    following = format_cursor(shown[-1][0].created_at, shown[-1][0].batch_id) if len(found) > limit else None
    page = BatchPage(batches=[_entry(batch, states) for batch, states in shown], cursor=following)
    return tagged(page, if_none_match)


@router.post("", status_code=202, responses={**_ACCEPTED, **problems(400, 402, 403, 409, 422, 429)})
async def create_batch(
    request: BatchRequest,
    response: Response,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> BatchStatus:
    """Start a job for each item; `refused` lists the items that can't start and cost nothing.

    A blob whose upload has already started a job joins the batch with that job. The same `Idempotency-Key`
    with the same items returns the same batch (200). A batch counts as one job of the minute. Its items run
    a few at a time, count as open when their turn comes, and are refused when the day's money is used up.
    Pictures that together cost more than `max_usd` are not started (402).
    """
    _check_size(request)
    await asyncio.to_thread(_check_price, request, caller, idempotency_key)
    batch, created = await asyncio.to_thread(_create, request, caller, idempotency_key)
    if not created and batch.request_hash != _fingerprint(request):
        detail = "This Idempotency-Key was used with other items. Use a new key for a new batch."
        raise ApiError(409, "idempotency_key_reused", detail)
    if created or await asyncio.to_thread(get_services().batches.broke_off, batch):
        await _start(batch, caller, request)
    response.status_code = 202 if created else 200
    response.headers["Location"] = f"/api/v1/batches/{batch.batch_id}"
    response.headers["Retry-After"] = _RETRY_AFTER_S
    return await asyncio.to_thread(_status, batch.batch_id, caller)


@router.get("/{batch_id}", response_model=BatchStatus, responses={**TAGGED, **problems(404, 422)})
async def get_batch(
    batch_id: str,
    caller: Caller,
    limit: Annotated[int, Query(ge=0, le=200, description="Most jobs of the page.")] = _JOBS,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Get the state of a batch, and its jobs page by page.

    `limit=0` returns the counts alone.
    """
    position = parse_cursor(cursor) if cursor else None
    return tagged(await asyncio.to_thread(_status, batch_id, caller, limit, position), if_none_match)


@router.post("/{batch_id}/cancel", responses=problems(403, 404))
async def cancel_batch(batch_id: str, caller: Caller) -> BatchStatus:
    """Cancel every job of a batch that has not ended.

    Jobs that have not started never start, and nothing is paid afterwards.
    """
    await asyncio.to_thread(_find, batch_id, caller)
    await batch_starter.cancel_batch(durable_client(), batch_id)
    return await asyncio.to_thread(_status, batch_id, caller)


def _check_size(request: BatchRequest) -> None:
    if len(request.items) > _MAX_ITEMS:
        raise ApiError(422, "batch_too_large", f"A batch takes up to {_MAX_ITEMS} items. Split it.")
    different = {item.callback_url for item in request.items}
    if len(different) > _MAX_CALLBACK_URLS:
        detail = f"A batch takes up to {_MAX_CALLBACK_URLS} different callback URLs. Split the batch."
        raise ApiError(422, "too_many_callback_urls", detail)


def _check_price(request: BatchRequest, caller: Principal, key: str | None) -> None:
    """A batch that exists already is not refused because prices have risen since."""
    known = get_services().batches.get(keyed_batch_id(caller.user_id, key)) if key else None
    if known is None:
        check_sum(request.items, request.max_usd)


def _fingerprint(request: BatchRequest) -> str:
    # escaped, because a prompt may hold what no encoding takes; it is refused with its item
    items = [item.without_limit.model_dump(exclude_defaults=True) for item in request.items]
    asked = json.dumps({"items": items}, sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def _create(request: BatchRequest, caller: Principal, key: str | None) -> tuple[Batch, bool]:
    """The row comes before its jobs, so that whatever breaks off leaves a batch to be found."""
    services = get_services()
    batch = Batch(
        batch_id=keyed_batch_id(caller.user_id, key) if key else str(uuid.uuid4()),
        owner_id=caller.user_id,
        request_hash=_fingerprint(request),
        items=len(request.items),
        refused=[],
    )
    return services.batches.create(batch, services.quotas.check_batch)


async def _start(batch: Batch, caller: Principal, request: BatchRequest) -> None:
    batches = get_services().batches
    items = shared(request.items, request.max_usd)
    jobs, refused = await in_waiting_thread(create_jobs, batch.batch_id, caller, items)
    errors = [item.model_dump() for item in refused]
    if len(refused) == len(request.items):
        await asyncio.to_thread(batches.forget, batch.batch_id)
        raise ApiError(
            422,
            "batch_empty",
            "None of the items can be processed. Each entry of `errors` says why.",
            errors=errors,
        )
    await asyncio.to_thread(batches.refuse, batch.batch_id, errors)
    current = await asyncio.to_thread(batches.get, batch.batch_id)
    if current is not None and current.cancelled_at is not None:
        await batch_starter.cancel_batch(durable_client(), batch.batch_id)
    elif jobs:
        await batch_starter.start_batch(durable_client(), batch.batch_id, jobs)


def _find(batch_id: str, caller: Principal) -> Batch:
    """A batch that the caller may see. Raises ``ApiError`` 404."""
    batch = get_services().batches.get(batch_id) if is_id(batch_id) else None
    if batch is None or not caller.may_see(batch.owner_id):
        raise ApiError(404, "batch_not_found", f"There is no batch '{batch_id[:100]}'.")
    return batch


def _entry(batch: Batch, counts: dict[str, int]) -> BatchSummary:
    states = {JobState(state): count for state, count in counts.items()}
    items = sum(states.values())
    ended = sum(count for state, count in states.items() if state.is_terminal)
    return BatchSummary(
        batch_id=batch.batch_id,
        created_at=batch.created_at,
        requested=batch.items,
        items=items,
        ended=ended,
        progress=ended / items if items else 0.0,
        states=states,
        cancelled_at=batch.cancelled_at,
    )


def _status(
    batch_id: str, caller: Principal, limit: int = _JOBS, cursor: tuple[datetime, str] | None = None
) -> BatchStatus:
    services = get_services()
    batch = _find(batch_id, caller)
    counts, cost_usd = services.batches.totals(batch_id)
    expected = services.batches.expected_micro_usd(batch_id, services.settings.nano_banana.price_table)
    wanted = JobFilter(owner_id=caller.scope, batch_id=batch_id, oldest_first=True)
    page = services.jobs.page(wanted, limit=limit, cursor=cursor) if limit else JobViewPage([], None)
    refused = batch.refused if cursor is None else []
    return BatchStatus(
        **_entry(batch, counts).model_dump(),
        cost_usd=cost_usd,
        estimated_usd=to_usd(expected),
        jobs=[job_status(view) for view in page.jobs],
        cursor=format_cursor(*page.cursor) if page.cursor else None,
        refused=[RefusedBatchItem.model_validate(each) for each in refused],
    )
