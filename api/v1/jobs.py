"""Jobs: the list, cancel, retry, and the pictures of each stage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from api.auth import Caller
from api.cursor import format_cursor, parse_cursor
from api.durable import durable_client
from api.errors import ApiError
from api.etag import TAGGED, IfNoneMatch, tagged
from api.guarded import in_waiting_thread
from api.pace import thumbnails
from api.picture_names import picture_name
from api.problems import BINARY, Responses, problems
from api.v1.status import load
from api.views import GuardrailVerdict, JobPage, JobStatus, guardrail_verdict, job_status
from imagery.contracts import JOBS, BlobRef, JobOptions, JobState, Stage, stage_output
from imagery.database.callbacks import delivery_id
from imagery.database.guardrail_log import latest_verdict
from imagery.database.job_views import JobFilter
from imagery.database.jobs import RETRYABLE_STATES
from imagery.database.tables import ImageJob
from imagery.file_names import content_disposition
from imagery.guardrail.examine import NoThumbnailError
from imagery.guardrail.pictures import CONTENT_TYPES
from imagery.guardrail.turns import Rank, Turn
from imagery.services import Services, get_services
from imagery.storage import (
    LINK_LIFETIME_S,
    BlobNotFoundError,
    BlobTooLargeError,
    LinkUnsupportedError,
    checked,
)
from imagery.telemetry.logs import get_logger
from imagery.text import is_id
from lifecycle.gpu_cancel import tell_gpu
from lifecycle.starter import rerun, start_callback

router = APIRouter(prefix="/jobs", tags=["jobs"])
_log = get_logger(__name__)
_SMALL_WIDTH = 512
_WEBP = "image/webp"
_PICTURE_TYPES = frozenset(CONTENT_TYPES.values())
_UNKNOWN_TYPE = "application/octet-stream"
_PICTURE: Responses = {
    200: {
        "description": "The picture.",
        "content": {kind: {"schema": BINARY} for kind in sorted({*_PICTURE_TYPES, _UNKNOWN_TYPE})},
    },
    302: {
        "description": "The picture is at `Location`.",
        "headers": {"Location": {"required": True, "schema": {"type": "string", "format": "uri"}}},
    },
}


class PictureName(StrEnum):
    """The pictures of a job: the original, and what each stage made."""

    SOURCE = "source"
    GUARDRAIL = Stage.GUARDRAIL.value
    REMBG = Stage.REMBG.value
    REALESRGAN = Stage.REALESRGAN.value
    NANO_BANANA = Stage.NANO_BANANA.value


class JobQuery(BaseModel):
    """Which jobs."""

    state: list[JobState] | None = Field(default=None, description="Only these states.")
    source: str | None = Field(
        default=None, max_length=1100, description="Only jobs of this blob, `uploads/<name>`."
    )
    batch_id: str | None = Field(default=None, max_length=64, description="Only jobs of this batch.")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=300)


@router.get("", response_model=JobPage, responses={**TAGGED, **problems(422)})
async def list_jobs(
    caller: Caller, query: Annotated[JobQuery, Query()], if_none_match: IfNoneMatch = None
) -> Response:
    """List jobs, newest first."""
    batch = query.batch_id
    page = await asyncio.to_thread(
        get_services().jobs.page,
        JobFilter(
            owner_id=caller.scope,
            states=query.state,
            batch_id=batch if batch is None or is_id(batch) else "",
            source=_source(query.source) if query.source else None,
        ),
        limit=query.limit,
        cursor=parse_cursor(query.cursor) if query.cursor else None,
    )
    following = format_cursor(*page.cursor) if page.cursor else None
    return tagged(JobPage(jobs=[job_status(view) for view in page.jobs], cursor=following), if_none_match)


@router.post("/{job_id}/cancel", responses=problems(403, 404))
async def cancel_job(job_id: str, caller: Caller) -> JobStatus:
    """Cancel a job before its next stage; nothing is paid afterwards.

    A job that has ended is returned as it is.
    """
    view = await load(job_id, caller)
    ended = await asyncio.to_thread(get_services().jobs.cancel, job_id)
    if not JobState(view.job.state).is_terminal:
        await asyncio.to_thread(tell_gpu, [view])
        try:
            await durable_client().terminate(view.job.instance_id, "cancelled")
        except Exception as error:
            # the row is what counts: every stage looks at it before it begins and before it pays
            _log.warning("terminate_failed", job_id=job_id, error=str(error))
        if ended is not None and ended.state == JobState.CANCELLED and ended.callback_url:
            await start_callback(durable_client(), delivery_id(job_id, ended.run))
    return job_status(await load(job_id, caller))


@router.post("/{job_id}/retry", status_code=202, responses=problems(402, 403, 404, 409, 429))
async def retry_job(job_id: str, caller: Caller) -> JobStatus:
    """Run a FAILED or CANCELLED job again from the stage in which it ended.

    Finished stages are kept.
    """
    view = await load(job_id, caller)
    state = JobState(view.job.state)
    if state not in RETRYABLE_STATES:
        detail = f"The job is {state.value}; only FAILED or CANCELLED jobs can be retried."
        raise ApiError(409, "job_not_retryable", detail, job_id=job_id)
    if await asyncio.to_thread(get_services().ledger.has_unknown, job_id):
        detail = (
            "A paid call of this job may have been charged although its response was lost. "
            "Ask an operator to settle it; then retry the job."
        )
        raise ApiError(409, "payment_unknown", detail, job_id=job_id)
    if view.job.expired_at is not None and not await asyncio.to_thread(_has_source, view.job):
        detail = "The job's pictures were deleted because of their age. Upload the image again."
        raise ApiError(409, "job_expired", detail, job_id=job_id)
    if await rerun(durable_client(), view.job) is None:
        raise ApiError(
            409,
            "job_not_retryable",
            "Another request has retried the job already. Look at its status.",
            job_id=job_id,
        )
    return job_status(await load(job_id, caller))


@router.get("/{job_id}/guardrail", responses=problems(404))
async def get_guardrail_verdict(job_id: str, caller: Caller) -> GuardrailVerdict:
    """Get what the guardrail measured on a job's picture, check by check."""
    await load(job_id, caller)
    row = await asyncio.to_thread(latest_verdict, get_services().database, job_id)
    if row is None:
        detail = "The guardrail has not examined this job's picture yet. Try again in a moment."
        raise ApiError(404, "guardrail_report_not_found", detail, job_id=job_id)
    return guardrail_verdict(row, job_id)


@router.get(
    "/{job_id}/images/{stage}",
    response_class=Response,
    responses={**_PICTURE, **problems(404, 410, 422, 429)},
)
async def get_image(
    caller: Caller,
    job_id: str,
    stage: PictureName,
    width: Annotated[
        int | None, Query(ge=16, le=2048, description="Thumbnail of this width, pixels.")
    ] = None,
    download: Annotated[bool, Query(description="For a browser to save, not to show.")] = False,
) -> Response:
    """Get the picture of a stage; `source` is the original.

    Where the storage gives links, a whole picture is a redirect to a short-lived one. Thumbnails and other
    storages return the bytes. The file is named as the photo and the stage: `coffee-placed.png`.
    """
    view = await load(job_id, caller)
    if view.job.expired_at is not None:
        raise expired(view.job)
    if width is not None:
        thumbnails.check(caller.user_id)
    return await in_waiting_thread(_deliver, Picture(view.job, stage, width, is_download=download))


def expired(job: ImageJob) -> ApiError:
    """What is said of a job whose pictures are gone."""
    detail = f"The pictures of this job were deleted on {job.expired_at:%Y-%m-%d} because of their age."
    return ApiError(410, "image_expired", detail, job_id=job.job_id)


@dataclass(frozen=True)
class Picture:
    """A picture that is asked for."""

    job: ImageJob
    stage: PictureName
    width: int | None
    is_download: bool

    def disposition(self, content_type: str) -> str:
        """How it is called, and what a browser does with it."""
        stage = None if self.stage is PictureName.SOURCE else Stage(self.stage)
        name = picture_name(self.job, stage, content_type)
        return content_disposition(name, is_download=self.is_download)


def _picture(job: ImageJob, stage: PictureName, width: int | None) -> BlobRef:
    job_id = job.job_id
    if stage is PictureName.SOURCE:
        return BlobRef(container=job.source_container, name=job.source_name)
    if stage is PictureName.REALESRGAN and width is not None and width <= _SMALL_WIDTH:
        # looks the same at this size, and is a sixteenth of the work
        output = JobOptions.from_json(job.options).output
        smaller = stage_output(job_id, output.source_of(Stage.REALESRGAN))
        if get_services().storage.exists(stage_output(job_id, Stage.REALESRGAN)):
            return smaller
    return stage_output(job_id, Stage(stage))


def _has_source(job: ImageJob) -> bool:
    """True when an expired job can run again: its upload is still there, because another job uses it too."""
    ref = BlobRef(container=job.source_container, name=job.source_name)
    try:
        return get_services().storage.properties(ref).etag == job.source_etag
    except BlobNotFoundError:
        return False


def _source(blob: str) -> tuple[str, str]:
    """Container and name. Raises ``BlobNameError`` for what no blob is called."""
    container, _, name = blob.partition("/")
    ref = checked(BlobRef(container=container, name=name))
    return ref.container, ref.name


def _deliver(wanted: Picture) -> Response:
    services, job_id = get_services(), wanted.job.job_id
    ref = _picture(wanted.job, wanted.stage, wanted.width)
    if not services.storage.exists(ref):
        detail = "This picture does not exist: its stage has not finished. Look at the job's status."
        raise ApiError(404, "image_not_found", detail, job_id=job_id)
    if wanted.width is not None:
        return _thumbnail(ref, wanted.width, wanted)
    kind = services.storage.properties(ref).content_type
    # an untrusted upload may claim any type, and must not be opened as a page
    safe = kind if kind in _PICTURE_TYPES else _UNKNOWN_TYPE
    disposition = wanted.disposition(safe)
    try:
        link = services.storage.read_link(ref, LINK_LIFETIME_S, disposition, safe)
    except LinkUnsupportedError:
        headers = {"Content-Disposition": disposition}
        return Response(services.storage.read(ref), media_type=safe, headers=headers)
    return RedirectResponse(link, 302)


def _thumbnail(ref: BlobRef, width: int, wanted: Picture) -> Response:
    """Made in the guardrail's sandbox: the original may be anything."""
    try:
        small = _small(get_services(), ref, width, Turn(wanted.job.owner_id, Rank.THUMBNAIL))
    except (NoThumbnailError, BlobTooLargeError):
        detail = "The blob is too large for a thumbnail or not a picture. Leave `width` out to get the blob."
        raise ApiError(422, "no_thumbnail", detail, job_id=wanted.job.job_id) from None
    headers = {"Cache-Control": "private, max-age=3600", "Content-Disposition": wanted.disposition(_WEBP)}
    return Response(small, media_type=_WEBP, headers=headers)


def _small(services: Services, ref: BlobRef, width: int, turn: Turn) -> bytes:
    if ref.container == JOBS:
        return services.guardrail.thumbnail(services.storage.read(ref), width, turn)
    # a link bounds no length: an upload may be larger than any host's memory
    data = services.storage.read(ref, services.settings.guardrail.max_upload_bytes)
    return services.guardrail.thumbnail_of_upload(data, width, turn)
