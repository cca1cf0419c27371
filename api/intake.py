"""Makes a request a ``JobRequest``: reads its body, checks options and callback, admits its picture."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile

from api.errors import ApiError, invalid, rejection
from api.guarded import in_waiting_thread
from imagery.contracts import (
    JOBS,
    UPLOADS,
    BlobRef,
    GuardrailReport,
    JobOptions,
    JobRequest,
    statement_of,
)
from imagery.database.guardrail_log import log_verdict
from imagery.guardrail.turns import Turn
from imagery.job_ids import keyed_job_id, new_job_id, upload_job_id
from imagery.principal import Principal
from imagery.providers.models import not_offered
from imagery.safe_http import check_url
from imagery.services import get_services
from imagery.settings import Environment
from imagery.storage import BlobNameError, BlobNotFoundError, BlobProperties, checked
from imagery.webhooks import webhook_secret
from lifecycle.blob_requests import blob_request, owner_of, pinned

_MAX_BLOB = 1100
_MAX_KEY = 200
_OF_THE_SCENE = ("prompt", "aspect_ratio", "image_size", "thinking_level", "seed")
# an empty one would make all photos of its user one job
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=_MAX_KEY)]
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


@dataclass(frozen=True)
class Submission:
    """What a request asks for, before it has a job id: a file (``data``), or an uploaded blob (``source``).

    ``fingerprint`` is the same for the same body.
    """

    options: JobOptions
    fingerprint: str
    content_type: str | None = None
    data: bytes | None = None
    file_name: str | None = None
    source: BlobRef | None = None
    callback_url: str | None = None


async def read_submission(request: Request, caller: Principal) -> Submission:
    """Read the body of ``POST /process``. Raises ``ApiError`` 400, 404, 415, 422."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request)
    if kind == "application/json":
        return await _read_json(request, caller)
    raise ApiError(
        415,
        "unsupported_media_type",
        f"Content-Type '{kind[:80] or 'none'}' is not accepted. Send multipart/form-data with a field "
        "'file', or application/json with a field 'blob'.",
    )


def job_id_of(submission: Submission, caller: Principal, key: str | None) -> str:
    """The id of the submission's job: the same for the same ``Idempotency-Key``, or for the same blob."""
    if key is not None:
        return keyed_job_id(caller.user_id, key)
    if submission.source is not None:
        return upload_job_id(submission.source, submission.options)
    return new_job_id()


def job_request(submission: Submission, caller: Principal, job_id: str) -> JobRequest:
    """The request of the submission's job; a file is admitted and stored first.

    Raises ``ApiError`` for a picture that the guardrail rejects, ``QuotaExceededError``, ``SandboxError``.
    """
    if submission.source is not None:
        return blob_request(
            submission.source,
            submission.options,
            content_type=submission.content_type,
            callback_url=submission.callback_url,
            job_id=job_id,
            request_hash=submission.fingerprint,
        )
    source, report = _store(submission, caller.user_id, job_id)
    return JobRequest(
        job_id=job_id,
        source=source,
        owner_id=caller.user_id,
        options=submission.options,
        file_name=submission.file_name,
        scaled_from_mp=report.scaled_from_mp,
        content_type=submission.content_type,
        request_hash=submission.fingerprint,
        callback_url=submission.callback_url,
    )


def batch_job_request(
    item: JobFromBlob,
    caller: Principal,
    batch_id: str,
    check_callback: Callable[[str | None], str | None],
    look: Callable[[BlobRef], BlobProperties],
    *,
    file_names: dict[str, str],
) -> JobRequest:
    """The request of an item's job. Raises ``ApiError``, ``StorageError``, and as the two functions do."""
    source = uploaded(item.blob, caller)
    check_prompt(item.prompt)
    check_offered(item)
    url = check_callback(item.callback_url)
    properties = look(source)
    return blob_request(
        pinned(source, properties),
        JobOptions.model_validate(item.model_dump(exclude={"blob", "callback_url"})),
        content_type=properties.content_type,
        batch_id=batch_id,
        callback_url=url,
        caller=caller,
        file_name=file_names[source.name],
    )


async def _read_form(request: Request) -> Submission:
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(422, "missing_file", "The form has no file. Send it in the field 'file'.")
        fields = {name: form[name] for name in JobOptions.model_fields if form.get(name)}
        data = await file.read()
        options = _options(fields)
        url = await _callback(form.get("callback_url") or None)
        digest = hashlib.sha256(data).hexdigest()
        return Submission(
            options=options,
            fingerprint=_fingerprint(digest, options, url),
            content_type=file.content_type,
            data=data,
            file_name=file.filename,
            callback_url=url,
        )


async def _read_json(request: Request, caller: Principal) -> Submission:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ApiError(
            400, "invalid_json", "The body is not valid JSON. Send an object with a field 'blob'."
        ) from None
    if not isinstance(body, dict):
        raise ApiError(422, "validation_error", "The body must be a JSON object with a field 'blob'.")
    blob = body.get("blob")
    if not isinstance(blob, str) or not blob:
        raise ApiError(422, "missing_field", "The field 'blob' is missing: send \"uploads/<name>\".")
    source = await asyncio.to_thread(uploaded, blob, caller)
    options = _options({name: body[name] for name in JobOptions.model_fields if name in body})
    check_prompt(options.prompt)
    url = await _callback(body.get("callback_url"))
    properties = await asyncio.to_thread(get_services().storage.properties, source)
    version = pinned(source, properties)
    return Submission(
        options=options,
        fingerprint=_fingerprint(f"{version.path}#{version.etag}", options, url),
        content_type=properties.content_type,
        source=version,
        callback_url=url,
    )


def uploaded(blob: str, caller: Principal) -> BlobRef:
    """The blob that a caller names. Raises ``BlobNameError``; ``BlobNotFoundError`` for another user's."""
    container, _, name = blob.partition("/")
    if container != UPLOADS:
        raise BlobNameError(f"it must begin with '{UPLOADS}/'")
    ref = checked(BlobRef(container=container, name=name))
    if not caller.may_see(owner_of(ref, caller)):
        raise BlobNotFoundError("it does not exist")
    return ref


def check_prompt(prompt: str) -> None:
    """Raise ``ApiError`` 422 for a prompt that the guardrail rejects, before anything is uploaded for it."""
    failed = [check for check in get_services().guardrail.check_prompt(prompt) if check.passed is False]
    if failed:
        code = failed[0].code or "rejected"
        raise ApiError(422, code, failed[0].message, errors=[check.to_json() for check in failed])


def check_offered(options: JobOptions) -> None:
    """Raise ``ApiError`` 422 for what the output, or the configured image model, can't be asked for."""
    if not options.output.has_scene:
        _check_no_scene(options)
        return
    model = get_services().settings.nano_banana.model
    missing = not_offered(model, options.aspect_ratio, options.thinking_level)
    if missing is not None:
        raise ApiError(422, "not_offered_by_model", missing)


def _check_no_scene(options: JobOptions) -> None:
    """Whoever describes a scene wants one: without it they would get another picture than they think."""
    fields = JobOptions.model_fields
    asked = [name for name in _OF_THE_SCENE if getattr(options, name) != fields[name].default]
    if asked:
        detail = (
            f"The output '{options.output}' has no scene, so it takes no {', '.join(asked)}. "
            "Leave that out, or choose the output 'scene'."
        )
        raise ApiError(422, "no_scene", detail)


def checked_callback(url: str | None) -> str | None:
    """The callback URL as it will be called, or None. Raises ``RefusedUrlError``, ``SigningKeyError``."""
    if not url:
        return None
    settings = get_services().settings
    webhook_secret(settings.callbacks.signing_key, "anybody", 1)
    return check_url(url, allow_loopback=settings.env is Environment.DEV)


async def _callback(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ApiError(
            422, "validation_error", "The field 'callback_url' is not a string. Send a URL, or leave it out."
        )
    return await in_waiting_thread(checked_callback, given)


def _options(fields: dict[str, Any]) -> JobOptions:
    try:
        options = JobOptions.model_validate(fields)
    except ValidationError as error:
        raise invalid(error.errors()) from None
    check_offered(options)
    return options


def _fingerprint(content: str, options: JobOptions, callback_url: str | None) -> str:
    # without what was left at its default, so that an option added later does not make a key's body another
    asked = options.without_limit.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps([content, asked, *([callback_url] if callback_url else [])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _store(submission: Submission, owner: str, job_id: str) -> tuple[BlobRef, GuardrailReport]:
    """Admit a file and keep its clean copy where no blob trigger sees it."""
    services, data = get_services(), submission.data or b""
    # checked again when the job is created; here it saves the work for a user who has nothing left
    services.quotas.check_early(services.database, owner, submission.options)
    found = services.guardrail.examine(
        data, submission.content_type, submission.options, picture=True, turn=Turn(owner)
    )
    report = found.report
    admitted_job = job_id if report.admitted else None
    log_verdict(services.database, report, owner_id=owner, size_bytes=len(data), job_id=admitted_job)
    if found.picture is None:
        raise rejection(report)
    # the fingerprint keeps a second body under the same key from replacing the first one's bytes; the same
    # body at the same moment must not replace them either, because the job's row names their version
    name = f"{job_id}/source-{submission.fingerprint[:16]}.png"
    ref = BlobRef(container=JOBS, name=name)
    if found.statement is not None:
        services.storage.write(statement_of(ref), found.statement, "application/json", overwrite=False)
    return services.storage.write(ref, found.picture, "image/png", overwrite=False), report
