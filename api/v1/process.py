"""``POST /process``: one image, by upload or by the name of a blob."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile

from api.auth import Caller
from api.durable import durable_client
from api.errors import ApiError, refusal
from api.guarded import in_waiting_thread
from api.problems import STARTED, Responses, problems
from api.views import AcceptedJob, accepted
from imagery.contracts import JOBS, UPLOADS, BlobRef, CheckResult, JobOptions, JobRequest
from imagery.database.guardrail_log import log_verdict
from imagery.job_ids import keyed_job_id, new_job_id, upload_job_id
from imagery.principal import Principal
from imagery.safe_http import check_url
from imagery.services import Services, get_services
from imagery.settings import Environment
from imagery.storage import BlobNameError, BlobNotFoundError, checked
from imagery.webhooks import webhook_secret
from lifecycle.blob_requests import owner_of, pinned
from lifecycle.starter import submit

router = APIRouter(tags=["jobs"])
_RETRY_AFTER_S = "2"
_MAX_KEY = 200
_MAX_BLOB = 1100
CALLBACK_DESCRIPTION = (
    "Where to POST how the job ended: https, a public host; signed as Standard Webhooks has it."
)


class JobFromBlob(JobOptions):
    """Process a blob that is in `uploads` already."""

    blob: str = Field(
        min_length=1, max_length=_MAX_BLOB, description="`uploads/<name>`.", examples=["uploads/photo.jpg"]
    )
    callback_url: str | None = Field(default=None, max_length=2048, description=CALLBACK_DESCRIPTION)


class JobFromFile(JobOptions):
    """Process a file that is sent with the request."""

    file: str = Field(json_schema_extra={"format": "binary"}, description="The image.")
    callback_url: str | None = Field(default=None, max_length=2048, description=CALLBACK_DESCRIPTION)


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


@dataclass(frozen=True)
class Incoming:
    """What a request asks for, before it has a job id. ``data`` None: the blob ``source`` exists."""

    options: JobOptions
    fingerprint: str
    content_type: str | None = None
    data: bytes | None = None
    source: BlobRef | None = None
    callback_url: str | None = None


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
    idempotency_key: Annotated[str | None, Header(max_length=_MAX_KEY)] = None,
) -> AcceptedJob:
    """Start the job of one photo, sent as a file or named as an uploaded blob.

    The same `Idempotency-Key` with the same body returns the same job (200). Without a key, a blob that is
    named again with the same options is the same job too: an upload starts its job by itself, and must not
    be paid twice.
    """
    incoming = await _read(request, caller)
    owner = owner_of(incoming.source) if incoming.source else caller.user_id
    job_id = _job_id(caller.user_id, idempotency_key, incoming)
    services = get_services()
    existing = await asyncio.to_thread(services.jobs.get, job_id) if idempotency_key else None
    if existing is None:
        source = await in_waiting_thread(_store, services, owner, job_id, incoming)
        job_request = JobRequest(
            job_id=job_id,
            source=source,
            owner_id=owner,
            options=incoming.options,
            content_type=incoming.content_type,
            request_hash=incoming.fingerprint,
            callback_url=incoming.callback_url,
        )
        existing, created = await submit(durable_client(), job_request)
    else:
        created = False
    if idempotency_key and existing.request_hash != incoming.fingerprint:
        raise ApiError(
            409,
            "idempotency_key_reused",
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            job_id=job_id,
        )
    answer = accepted(existing)
    response.status_code = 202 if created else 200
    response.headers["Location"] = answer.links.self
    response.headers["Retry-After"] = _RETRY_AFTER_S
    return answer


async def _read(request: Request, caller: Principal) -> Incoming:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request)
    if kind == "application/json":
        return await _read_json(request, caller)
    raise ApiError(
        415,
        "unsupported_media_type",
        f"Content-Type '{kind[:80] or 'none'}' is not accepted: send multipart/form-data with a field "
        "'file', or application/json with a field 'blob'.",
    )


async def _read_form(request: Request) -> Incoming:
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(422, "missing_file", "The form has no file in its field 'file'.")
        fields = {name: form[name] for name in JobOptions.model_fields if form.get(name)}
        data = await file.read()
        options = _options(fields)
        url = await _callback(form.get("callback_url") or None)
        digest = hashlib.sha256(data).hexdigest()
        return Incoming(
            options=options,
            fingerprint=_fingerprint(digest, options, url),
            content_type=file.content_type,
            data=data,
            callback_url=url,
        )


async def _read_json(request: Request, caller: Principal) -> Incoming:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise ApiError(422, "validation_error", "The body must be a JSON object with a field 'blob'.")
    blob = body.get("blob")
    if not isinstance(blob, str) or not blob:
        raise ApiError(422, "missing_field", "The field 'blob' is missing: send \"uploads/<name>\".")
    source = await asyncio.to_thread(uploaded, blob, caller)
    options = _options({name: body[name] for name in JobOptions.model_fields if name in body})
    refuse_prompt(options.prompt)
    url = await _callback(body.get("callback_url"))
    properties = await asyncio.to_thread(get_services().storage.properties, source)
    version = pinned(source, properties)
    return Incoming(
        options=options,
        fingerprint=_fingerprint(f"{version.path}#{version.etag}", options, url),
        content_type=properties.content_type,
        source=version,
        callback_url=url,
    )


def uploaded(blob: str, caller: Principal) -> BlobRef:
    """The blob that a caller names: only uploads that the caller may see can be named."""
    container, _, name = blob.partition("/")
    if container != UPLOADS:
        raise BlobNameError(f"it must begin with '{UPLOADS}/'")
    ref = checked(BlobRef(container=container, name=name))
    if not caller.may_see(owner_of(ref)):
        raise BlobNotFoundError("it does not exist")
    return ref


def refuse_prompt(prompt: str) -> None:
    """Raise ``ApiError`` 422 for a prompt that the guardrail would refuse: no need to upload for that."""
    failed = refusals(prompt)
    if failed:
        code = failed[0].code or "rejected"
        raise ApiError(422, code, failed[0].message, errors=[check.to_json() for check in failed])


def refusals(prompt: str) -> list[CheckResult]:
    """The checks that refuse a prompt."""
    return [check for check in get_services().guardrail.check_prompt(prompt) if check.passed is False]


def checked_callback(url: str | None) -> str | None:
    """The callback URL as it will be called. Raises ``RefusedUrlError``, ``SigningKeyError``."""
    if not url:
        return None
    settings = get_services().settings
    webhook_secret(settings.callbacks.signing_key, "anybody", 1)
    return check_url(url, allow_loopback=settings.env is Environment.DEV)


async def _callback(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ApiError(422, "validation_error", "callback_url: it must be a string")
    return await in_waiting_thread(checked_callback, given)


def _options(fields: dict[str, Any]) -> JobOptions:
    try:
        return JobOptions.model_validate(fields)
    except ValidationError as error:
        errors = [
            {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]}
            for each in error.errors()
        ]
        summary = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
        raise ApiError(422, "validation_error", summary, errors=errors) from None


def _fingerprint(content: str, options: JobOptions, callback_url: str | None) -> str:
    # without what was left at its default, so that an option added later does not make a key's body another
    asked = options.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps([content, asked, *([callback_url] if callback_url else [])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _job_id(owner: str, key: str | None, incoming: Incoming) -> str:
    if key is not None:
        return keyed_job_id(owner, key)
    if incoming.source is not None:
        return upload_job_id(incoming.source, incoming.options)
    return new_job_id()


def _store(services: Services, owner: str, job_id: str, incoming: Incoming) -> BlobRef:
    """Admit an image and keep its clean copy where no blob trigger sees it; answer what the job reads."""
    if incoming.source is not None:
        return incoming.source
    data = incoming.data or b""
    # looked at again when the job is made; here it saves the work for who has nothing left
    services.quotas.check_early(services.database, owner)
    found = services.guardrail.examine(data, incoming.content_type, incoming.options, picture=True)
    report = found.report
    admitted_job = job_id if report.admitted else None
    log_verdict(services.database, report, owner_id=owner, size_bytes=len(data), job_id=admitted_job)
    if found.picture is None:
        raise refusal(report)
    # the fingerprint keeps a second body under the same key from replacing the first one's bytes
    name = f"{job_id}/source-{incoming.fingerprint[:16]}.png"
    return services.storage.write(BlobRef(container=JOBS, name=name), found.picture, "image/png")
