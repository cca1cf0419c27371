"""Stage 0: admit or reject the image, and keep a clean copy of it."""

from __future__ import annotations

import hashlib

from activities.attempt import Attempt
from activities.stage import run_stage
from imagery.contracts import JOBS, BlobRef, GuardrailReport, JsonObject, Stage, StageResult
from imagery.database.guardrail_log import log_verdict
from imagery.guardrail.content_safety import ContentSafetyUnavailableError
from imagery.guardrail.sandbox import SandboxBusyError, SandboxError
from imagery.guardrail.turns import Turn
from imagery.storage import (
    BlobChangedError,
    BlobNameError,
    BlobNotFoundError,
    BlobTooLargeError,
    StorageError,
)

_LOOK_AGAIN_S = 10.0
_CHANGED = "The upload was overwritten before its turn; the newer version is a job of its own."
_GONE = "The uploaded blob was deleted before its turn. Upload it again."


def guardrail(message: JsonObject) -> JsonObject:
    """Activity of the guardrail stage."""
    return run_stage(message, Stage.GUARDRAIL, work)


def work(attempt: Attempt) -> StageResult:
    """Examine what the job reads, and store the clean copy that the next stage reads."""
    services, job = attempt.services, attempt.job
    source = BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
    is_ours = source.container == JOBS
    try:
        data = services.storage.read(
            source, None if is_ours else services.settings.guardrail.max_upload_bytes
        )
    except StorageError as error:
        return _unreadable(attempt, source, error)
    if is_ours:
        # a clean copy, written when the request was examined: only we write there
        return _store(attempt, data)
    try:
        examination = services.guardrail.examine(
            data, job.content_type, attempt.options, picture=True, turn=Turn(job.owner_id)
        )
    except (SandboxBusyError, ContentSafetyUnavailableError) as error:
        return attempt.later(error.code, str(error), _LOOK_AGAIN_S)
    except SandboxError as error:
        raise attempt.transient(error.code, str(error)) from error
    report = examination.report
    _log_verdict(attempt, report, len(data))
    if examination.picture is None:
        return attempt.reject(report.code or "rejected", report.message)
    return _store(attempt, examination.picture, report.scaled_from_mp)


def _unreadable(attempt: Attempt, source: BlobRef, error: StorageError) -> StageResult:
    if isinstance(error, BlobNotFoundError):
        return attempt.fail(error.code, _GONE)
    if isinstance(error, BlobChangedError):
        return attempt.fail(error.code, _CHANGED)
    if isinstance(error, BlobTooLargeError):
        size = attempt.services.storage.properties(source).size
        report = attempt.services.guardrail.too_large(size, attempt.options)
        _log_verdict(attempt, report, size)
        return attempt.reject(error.code, report.message)
    if isinstance(error, BlobNameError):
        return attempt.reject(error.code, str(error))
    raise attempt.transient(error.code, "The upload could not be read.") from error


def _log_verdict(attempt: Attempt, report: GuardrailReport, size_bytes: int) -> None:
    log_verdict(
        attempt.services.database,
        report,
        owner_id=attempt.job.owner_id,
        size_bytes=size_bytes,
        job_id=attempt.job_id,
    )


def _store(attempt: Attempt, picture: bytes, scaled_from_mp: float | None = None) -> StageResult:
    attempt.services.storage.write(attempt.target, picture, "image/png")
    return attempt.succeed(content_hash=hashlib.sha256(picture).hexdigest(), scaled_from_mp=scaled_from_mp)
