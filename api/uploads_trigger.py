"""A blob arrived in ``uploads``: one job for each version of it."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df

from imagery.contracts import BlobRef, JobOptions, JobRequest, JobState
from imagery.database.tables import UploadTicket
from imagery.job_ids import upload_job_id
from imagery.principal import STORAGE_OWNER
from imagery.services import get_services
from imagery.storage import BlobNameError, BlobNotFoundError, BlobProperties
from imagery.telemetry.logs import get_logger
from imagery.uploads import owner_of
from orchestrators.starter import refuse, submit_upload

_log = get_logger(__name__)


async def on_upload(client: df.DurableOrchestrationClient, container: str, name: str) -> None:
    """Start the job of an uploaded blob; raises what a later delivery of the event may cure."""
    services = get_services()
    ref = BlobRef(container=container, name=name)
    try:
        properties = await asyncio.to_thread(services.storage.properties, ref)
    except BlobNotFoundError:
        _log.warning("upload_vanished", source=ref.path)
        return
    except BlobNameError as error:
        # no link of ours leads there, and no later delivery makes the name a better one
        nameless = JobRequest(job_id=upload_job_id(ref, JobOptions()), source=ref, owner_id=STORAGE_OWNER)
        await asyncio.to_thread(refuse, nameless, JobState.REJECTED, error.code, str(error))
        return
    ticket = await asyncio.to_thread(services.tickets.of_blob, name)
    request = await asyncio.to_thread(_request, ref, properties, ticket)
    if ticket is not None and properties.size != ticket.size_bytes:
        message = (
            f"The upload has {properties.size} bytes, but its link was given for {ticket.size_bytes}. "
            "Ask for a new link with the size of the file."
        )
        await asyncio.to_thread(refuse, request, JobState.REJECTED, "upload_size_mismatch", message)
        return
    _, created = await submit_upload(client, request)
    if not created:
        _log.info("upload_known", job_id=request.job_id, source=ref.path)


def _request(ref: BlobRef, properties: BlobProperties, ticket: UploadTicket | None) -> JobRequest:
    pinned = ref.model_copy(update={"etag": properties.etag})
    options = JobOptions.from_json(ticket.options) if ticket else JobOptions()
    return JobRequest(
        job_id=upload_job_id(pinned, options),
        source=pinned,
        owner_id=owner_of(pinned),
        options=options,
        content_type=properties.content_type,
        callback_url=ticket.callback_url if ticket else None,
    )
