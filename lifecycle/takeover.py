"""One job for one upload: whoever names a blob takes it from the job that its event starts.

An upload starts its job by itself, with the options of its link or with none. A request or a batch that names
the blob otherwise gets a job of its own, and the event's job is not needed: if its paid call was not sent yet
it ends unpaid, with the code ``taken_over``, in the transaction that writes the row of the job that was asked
for. Two that come at the same moment may not see each other there; so the event's job looks once more when
its row is written, and again before it pays, whoever has died in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from imagery.contracts import UPLOADS, BlobRef, JobOptions, JobRequest
from imagery.database.tables import UploadTicket
from imagery.job_ids import upload_job_id
from imagery.services import get_services

# uploads below these start nothing: a request or a batch will name them
_FOLDER, TICKET_PREFIX = "batch/", "batch-"


def starts_by_itself(name: str) -> bool:
    """False for ``batch/...`` and ``{user}/batch-{ticket}/{file}``."""
    parts = name.split("/")
    is_ticket = len(parts) == 3 and parts[1].startswith(TICKET_PREFIX)
    return not name.startswith(_FOLDER) and not is_ticket


def event_job_id(source: BlobRef) -> str:
    """The id of the job that the event of this version of a blob starts."""
    return _event_job_id(source, get_services().tickets.of_blob(source.name))


def _event_job_id(source: BlobRef, ticket: UploadTicket | None) -> str:
    return upload_job_id(source, options_of(ticket))


def options_of(ticket: UploadTicket | None) -> JobOptions:
    """What the ticket asks for; the defaults where that can't be read, so that the job has an id."""
    try:
        return JobOptions.from_json(ticket.options) if ticket else JobOptions()
    except ValidationError:
        return JobOptions()


def taker_of(source: BlobRef) -> str | None:
    """The job that a request or a batch made of this version. Returns None if there is none."""
    own = event_job_id(source)
    naming = get_services().jobs.naming([source]).get((source.name, source.etag), [])
    return next((job_id for job_id in naming if job_id != own), None)


def taken_by(requests: Sequence[JobRequest]) -> list[str | None]:
    """The id of the event's job that each of them takes over; None for those that can take none."""
    uploads = [request.source.name for request in requests if request.source.container == UPLOADS]
    tickets = get_services().tickets.of_blobs(uploads)
    return [_taken_by(request, tickets.get(request.source.name)) for request in requests]


def _taken_by(request: JobRequest, ticket: UploadTicket | None) -> str | None:
    if request.source.container != UPLOADS:
        return None
    own = _event_job_id(request.source, ticket)
    return own if own != request.job_id else None
