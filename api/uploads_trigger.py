"""A blob arrived in ``uploads``: one job for each version of it."""

from __future__ import annotations

import asyncio
import uuid

import azure.durable_functions as df

from api.auth import ANONYMOUS
from imagery.contracts import BlobRef, JobOptions, JobRequest
from imagery.services import get_services
from imagery.storage import BlobNotFoundError
from imagery.telemetry.logs import get_logger
from orchestrators.starter import submit

_log = get_logger(__name__)


def upload_job_id(ref: BlobRef) -> str:
    """The same blob version is the same job, however often its event is delivered."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ref.path}#{ref.etag}"))


async def on_upload(client: df.DurableOrchestrationClient, container: str, name: str) -> None:
    """Start the job of an uploaded blob; raises what a later delivery of the event may cure."""
    ref = BlobRef(container=container, name=name)
    try:
        properties = await asyncio.to_thread(get_services().storage.properties, ref)
    except BlobNotFoundError:
        _log.warning("upload_vanished", source=ref.path)
        return
    pinned = ref.model_copy(update={"etag": properties.etag})
    request = JobRequest(
        job_id=upload_job_id(pinned),
        source=pinned,
        owner_id=ANONYMOUS,
        options=JobOptions(),
        content_type=properties.content_type,
    )
    _, created = await submit(client, request)
    if not created:
        _log.info("upload_known", job_id=request.job_id, source=ref.path)
