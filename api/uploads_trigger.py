"""A blob arrived in ``uploads``: one job for each version of it."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df

from api.auth import ANONYMOUS
from imagery.contracts import BlobRef, JobOptions, JobRequest
from imagery.job_ids import upload_job_id
from imagery.services import get_services
from imagery.storage import BlobNotFoundError
from imagery.telemetry.logs import get_logger
from orchestrators.starter import submit

_log = get_logger(__name__)


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
        job_id=upload_job_id(pinned, JobOptions()),
        source=pinned,
        owner_id=ANONYMOUS,
        options=JobOptions(),
        content_type=properties.content_type,
    )
    _, created = await submit(client, request)
    if not created:
        _log.info("upload_known", job_id=request.job_id, source=ref.path)
