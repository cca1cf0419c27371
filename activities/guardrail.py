"""Stage 0: admit or refuse the image, and keep a clean copy of it."""

from __future__ import annotations

from activities.stage import failed, refused, run_stage, succeeded, transient
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
from imagery.guardrail import ContentSafetyUnavailableError, SandboxError
from imagery.services import Services
from imagery.storage import (
    BlobChangedError,
    BlobNameError,
    BlobNotFoundError,
    BlobTooLargeError,
    StorageError,
)

_CHANGED = "The upload was overwritten before its turn; the newer version is a job of its own."
_GONE = "The uploaded blob was deleted before its turn. Upload it again."


def guardrail(message: JsonObject) -> JsonObject:
    """Activity of the guardrail stage."""
    return run_stage(message, Stage.GUARDRAIL, _examine)


def _examine(services: Services, order: StageInput, begun: Begun) -> StageOutcome:
    job = begun.job
    source = BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
    try:
        most = None if source.container == JOBS else services.settings.max_upload_bytes
        data = services.storage.read(source, max_bytes=most)
    except BlobNotFoundError as error:
        return failed(services, order, error.code, _GONE)
    except BlobChangedError as error:
        return failed(services, order, error.code, _CHANGED)
    except (BlobTooLargeError, BlobNameError) as error:
        return refused(services, order, error.code, str(error))
    except StorageError as error:
        raise transient(services, order, error.code, "The upload could not be read.") from error
    target = stage_output(order.job_id, Stage.GUARDRAIL)
    if source.container == JOBS:
        # a clean copy, written when the request was examined: only we write there
        return _keep(services, order, target, data)
    options = JobOptions.from_json(job.options)
    try:
        examination = services.guardrail.examine(data, job.content_type, options, picture=True)
    except (SandboxError, ContentSafetyUnavailableError) as error:
        raise transient(services, order, error.code, str(error)) from error
    report = examination.report
    log_verdict(services.database, report, owner_id=job.owner_id, size_bytes=len(data), job_id=order.job_id)
    if examination.picture is None:
        return refused(services, order, report.code or "rejected", report.message)
    return _keep(services, order, target, examination.picture)


def _keep(services: Services, order: StageInput, target: BlobRef, picture: bytes) -> StageOutcome:
    services.storage.write(target, picture, "image/png")
    services.stages.succeed(order.job_id, Stage.GUARDRAIL, target, "image/png")
    return succeeded(Stage.GUARDRAIL, target)
