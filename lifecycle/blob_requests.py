"""From a blob in ``uploads`` to its job's request: the same for its event, the sweep, HTTP and batches."""

from __future__ import annotations

from imagery.contracts import UPLOADS, BlobRef, JobOptions, JobRequest
from imagery.job_ids import upload_job_id
from imagery.principal import STORAGE_OWNER
from imagery.services import get_services
from imagery.storage import BlobProperties


def owner_of(source: BlobRef) -> str:
    """The user whose link created the blob; ``storage`` for a blob that came into the container otherwise.

    Links are given for ``uploads/{user}/{ticket}/{file}``, each for one name.
    """
    parts = source.name.split("/")
    if source.container != UPLOADS or len(parts) != 3:
        return STORAGE_OWNER
    user = get_services().users.get(parts[0][:64])
    return user.user_id if user else STORAGE_OWNER


def pinned(source: BlobRef, properties: BlobProperties) -> BlobRef:
    """``source`` in the version that has these ``properties``: a job reads no other one."""
    return source.model_copy(update={"etag": properties.etag})


def blob_request(
    source: BlobRef,
    options: JobOptions,
    *,
    content_type: str | None = None,
    callback_url: str | None = None,
    batch_id: str | None = None,
    job_id: str | None = None,
    request_hash: str = "",
) -> JobRequest:
    """The request of the job that reads ``source``, a pinned version, for the blob's owner.

    ``job_id`` defaults to the one that every entrance gives this version with these options.
    """
    return JobRequest(
        job_id=job_id or upload_job_id(source, options),
        source=source,
        owner_id=owner_of(source),
        options=options,
        file_name=_file_name(source),
        content_type=content_type,
        request_hash=request_hash,
        batch_id=batch_id,
        callback_url=callback_url,
    )


def _file_name(source: BlobRef) -> str:
    """As the sender of a link calls the photo, else as the blob is called."""
    ticket = get_services().tickets.of_blob(source.name)
    return (ticket.file_name if ticket else None) or source.name
