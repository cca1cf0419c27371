"""Blobs in ``uploads``: one job for each version of each, by the blob's event or by the sweep.

The sweep finds uploads without an event, or whose event failed too often: the queue
``webjobs-blobtrigger-poison``, into which Azure puts the latter, needs no reader.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta

import azure.durable_functions as df
from sqlalchemy import exc

from imagery.contracts import UPLOADS, BlobRef, JobOptions, JobRequest, JobState
from imagery.database.tables import UploadTicket, utc_now
from imagery.job_ids import upload_job_id
from imagery.principal import STORAGE_OWNER
from imagery.services import get_services
from imagery.storage import BlobNameError, BlobNotFoundError, BlobProperties, StorageError, checked
from imagery.telemetry.logs import get_logger
from lifecycle.blob_requests import blob_request, pinned
from lifecycle.starter import refuse, submit_upload
from lifecycle.takeover import options_of, starts_by_itself, taker_of

_log = get_logger(__name__)
_CHUNK = 500
# uploads that one run looks at for files whose event got lost
SWEPT_BLOBS = 5000
_UNREADABLE = "The upload could not be taken in. Upload the file again; if that fails too, report its name."


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
        nameless = JobRequest(job_id=_nameless_id(ref), source=ref, owner_id=STORAGE_OWNER)
        await asyncio.to_thread(refuse, nameless, JobState.REJECTED, error.code, str(error))
        return
    if properties.is_folder:
        return
    ticket = await asyncio.to_thread(services.tickets.of_blob, name)
    request = await asyncio.to_thread(_request, ref, properties, ticket)
    if ticket is not None and properties.size != ticket.size_bytes:
        message = (
            f"The upload has {properties.size} bytes, but its link was given for {ticket.size_bytes}. "
            "Ask for a new link with the size of the file."
        )
        await asyncio.to_thread(refuse, request, JobState.REJECTED, "upload_size_mismatch", message)
        if properties.size > ticket.size_bytes:
            # nobody keeps more here than the link was given for
            await asyncio.to_thread(services.storage.delete, request.source)
        return
    if not starts_by_itself(name):
        _log.info("upload_waits_to_be_named", source=ref.path)
        return
    taker = await asyncio.to_thread(taker_of, request.source)
    if taker is not None:
        _log.info("upload_taken", job_id=taker, source=ref.path)
        return
    _, created = await submit_upload(client, request)
    if not created:
        _log.info("upload_known", job_id=request.job_id, source=ref.path)


async def sweep(client: df.DurableOrchestrationClient) -> int:
    """Take in uploads that have no job. Returns how many.

    Each tick looks at a new random choice of ``SWEPT_BLOBS`` uploads, all of them where there
    are no more, and starts at most ``starts`` (RECONCILE) jobs.
    """
    settings = get_services().settings
    lost = await asyncio.to_thread(_without_job, SWEPT_BLOBS)
    taken_in = 0
    for ref in lost:
        if taken_in >= settings.upkeep.reconcile.starts:
            break
        taken_in += await _take_in(client, ref)
    if taken_in:
        _log.warning("uploads_swept", found=len(lost), taken_in=taken_in)
    return taken_in


async def _take_in(client: df.DurableOrchestrationClient, ref: BlobRef) -> bool:
    """As the blob's event would have; what fails for good becomes a failed job."""
    try:
        if _is_readable(ref) and not await asyncio.to_thread(_is_settled, ref):
            return False
        await on_upload(client, ref.container, ref.name)
    except BlobNotFoundError:
        return False
    except Exception as error:
        if _may_pass(error):
            _log.warning("upload_deferred", source=ref.path, error=str(error))
            return False
        _log.error("upload_unreadable", source=ref.path, exc_info=error)
        return await asyncio.to_thread(_give_up, ref)
    return True


def _may_pass(error: Exception) -> bool:
    """True for what the next tick may find cured: storage or a database that does not respond."""
    if isinstance(error, BlobNameError):
        return False
    return isinstance(
        error, StorageError | exc.OperationalError | exc.InterfaceError | exc.TimeoutError | OSError
    )


def _give_up(ref: BlobRef) -> bool:
    try:
        options = options_of(get_services().tickets.of_blob(ref.name))
        refuse(blob_request(ref, options), JobState.FAILED, "upload_unreadable", _UNREADABLE)
    except Exception as error:
        # the next blob must have its turn all the same
        _log.error("upload_not_recorded", source=ref.path, exc_info=error)
        return False
    return True


def _is_settled(ref: BlobRef) -> bool:
    """True when the blob's event has had time to arrive; a mark of a folder has none."""
    services = get_services()
    grace = timedelta(seconds=services.settings.upkeep.reconcile.grace_s)
    properties = services.storage.properties(ref)
    return not properties.is_folder and utc_now() - properties.modified >= grace


def _is_readable(ref: BlobRef) -> bool:
    """False for a name that can't be handed on, such as ``a//b.jpg``."""
    try:
        checked(ref)
    except BlobNameError:
        return False
    return True


def _nameless_id(ref: BlobRef) -> str:
    """The job of a blob whose name can't be read: without a version, because it can't be looked at."""
    return upload_job_id(BlobRef(container=ref.container, name=ref.name), JobOptions())


def _without_job(limit: int) -> list[BlobRef]:
    chosen = _sample(get_services().storage.list(UPLOADS), limit)
    chunks = (chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK))
    return [ref for chunk in chunks for ref in _lost(chunk)]


def _sample(refs: Iterator[BlobRef], limit: int) -> list[BlobRef]:
    """``limit`` of them, each with the same chance: nothing is remembered from tick to tick."""
    chosen: list[BlobRef] = []
    for number, ref in enumerate(refs):
        if number < limit:
            chosen.append(ref)
        elif (place := random.randrange(number + 1)) < limit:  # noqa: S311  # a choice, not a secret
            chosen[place] = ref
    return chosen


def _lost(refs: list[BlobRef]) -> list[BlobRef]:
    """Those that no job reads, though one should have been started."""
    services = get_services()
    refs = [ref for ref in refs if starts_by_itself(ref.name)]
    tickets = services.tickets.of_blobs([ref.name for ref in refs])
    ids = [
        upload_job_id(ref, options_of(tickets.get(ref.name))) if _is_readable(ref) else _nameless_id(ref)
        for ref in refs
    ]
    known, named = services.jobs.known(ids), services.jobs.naming(refs)
    return [
        ref
        for ref, job_id in zip(refs, ids, strict=True)
        if job_id not in known and (ref.name, ref.etag) not in named
    ]


def _request(ref: BlobRef, properties: BlobProperties, ticket: UploadTicket | None) -> JobRequest:
    return blob_request(
        pinned(ref, properties),
        JobOptions.from_json(ticket.options) if ticket else JobOptions(),
        content_type=properties.content_type,
        callback_url=ticket.callback_url if ticket else None,
    )
