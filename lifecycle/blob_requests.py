"""From a blob in ``uploads`` to its job's request: the same for its event, the sweep, HTTP and batches."""

from __future__ import annotations

from imagery.contracts import UPLOADS, BlobRef, JobOptions, JobRequest
from imagery.job_ids import upload_job_id
from imagery.principal import STORAGE_OWNER, Principal
from imagery.services import get_services
from imagery.storage import BlobProperties


def owner_of(source: BlobRef, caller: Principal | None = None) -> str:
    """The user whose link created the blob; ``storage`` for a blob that came into the container otherwise.

    Links are given for ``uploads/{user}/{ticket}/{file}``, each for one name. ``caller`` is known already.
    """
    parts = source.name.split("/")
    if source.container != UPLOADS or len(parts) != 3:
        return STORAGE_OWNER
    if caller is not None and parts[0] == caller.user_id:
        return caller.user_id
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
    caller: Principal | None = None,
    file_name: str | None = None,
) -> JobRequest:
    """The request of the job that reads ``source``, a pinned version, for the blob's owner.

    ``job_id`` defaults to the one that every entrance gives this version with these options.
    """
    return JobRequest(
        job_id=job_id or upload_job_id(source, options),
        source=source,
        owner_id=owner_of(source, caller),
        options=options,
        file_name=file_name or file_names([source.name])[source.name],
        content_type=content_type,
        request_hash=request_hash,
        batch_id=batch_id,
        callback_url=callback_url,
    )


def file_names(blob_names: list[str]) -> dict[str, str]:
    """What photos are called, by their blobs: by the sender of a link, else like the blob."""
    tickets = get_services().tickets.of_blobs(blob_names)
    named = {name: ticket.file_name for name, ticket in tickets.items() if ticket.file_name}
    return {name: named.get(name, name) for name in blob_names}
