"""Stage 0: admit or reject the image, and keep a clean copy of it."""

from __future__ import annotations

import hashlib

from activities.stage import failed, rejected, retry_later, run_stage, succeeded, transient
from imagery.contracts import (
    JOBS,
    BlobRef,
    JobOptions,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    stage_output,
)
from imagery.database.guardrail_log import log_verdict
from imagery.database.stages import Begun
from imagery.guardrail import ContentSafetyUnavailableError, SandboxBusyError, SandboxError
from imagery.services import Services
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
    return run_stage(message, Stage.GUARDRAIL, _examine)


def _examine(services: Services, order: StageInput, begun: Begun) -> StageOutcome:
    job = begun.job
    source = BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
    is_ours = source.container == JOBS
    try:
        data = services.storage.read(
            source, None if is_ours else services.settings.guardrail.max_upload_bytes
        )
    except StorageError as error:
        return _unreadable(services, order, begun, source, error)
    if is_ours:
        # a clean copy, written when the request was examined: only we write there
        return _keep(services, order, data)
    options = JobOptions.from_json(job.options)
    try:
        examination = services.guardrail.examine(data, job.content_type, options, picture=True)
    except (SandboxBusyError, ContentSafetyUnavailableError) as error:
        return retry_later(services, order, error.code, str(error), _LOOK_AGAIN_S)
    except SandboxError as error:
        raise transient(services, order, error.code, str(error)) from error
    report = examination.report
    log_verdict(services.database, report, owner_id=job.owner_id, size_bytes=len(data), job_id=order.job_id)
    if examination.picture is None:
        return rejected(services, order, report.code or "rejected", report.message)
    return _keep(services, order, examination.picture)


def _unreadable(
    services: Services, order: StageInput, begun: Begun, source: BlobRef, error: StorageError
) -> StageOutcome:
    if isinstance(error, BlobNotFoundError):
        return failed(services, order, error.code, _GONE)
    if isinstance(error, BlobChangedError):
        return failed(services, order, error.code, _CHANGED)
    if isinstance(error, BlobTooLargeError):
        job, size = begun.job, services.storage.properties(source).size
        report = services.guardrail.too_large(size, JobOptions.from_json(job.options))
        log_verdict(services.database, report, owner_id=job.owner_id, size_bytes=size, job_id=order.job_id)
        return rejected(services, order, error.code, report.message)
    if isinstance(error, BlobNameError):
        return rejected(services, order, error.code, str(error))
    raise transient(services, order, error.code, "The upload could not be read.") from error


def _keep(services: Services, order: StageInput, picture: bytes) -> StageOutcome:
    target = stage_output(order.job_id, Stage.GUARDRAIL)
    services.storage.write(target, picture, "image/png")
    content_hash = hashlib.sha256(picture).hexdigest()
    services.stages.succeed(order.job_id, Stage.GUARDRAIL, target, "image/png", content_hash=content_hash)
    return succeeded(Stage.GUARDRAIL, target)
