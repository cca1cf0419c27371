"""One job for one upload: whoever names a blob takes it from the job that its event starts.

An upload starts its job by itself, with the options of its link or with none. A request or a batch that names
the blob otherwise gets a job of its own, and the event's job is not needed: if its paid call was not sent yet
it ends unpaid, with the code ``taken_over``. Both sides write their own row first and look for the other's
then, so that of two that come at the same moment at least one sees both.
"""

from __future__ import annotations

from imagery.contracts import UPLOADS, BlobRef, JobOptions
from imagery.database.tables import ImageJob
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
    """The id of the job that the event of this version of a blob starts. Raises ``ValidationError``."""
    ticket = get_services().tickets.of_blob(source.name)
    return upload_job_id(source, JobOptions.from_json(ticket.options) if ticket else JobOptions())


def taker_of(source: BlobRef) -> str | None:
    """The job that a request or a batch made of this version. Returns None if there is none."""
    own = event_job_id(source)
    naming = get_services().jobs.naming([source]).get((source.name, source.etag), [])
    return next((job_id for job_id in naming if job_id != own), None)


def take_over(job: ImageJob) -> None:
    """End the event's job of the upload that the new ``job`` of a request names, unless it is that job."""
    if job.source_container != UPLOADS:
        return
    source = BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
    own = event_job_id(source)
    if own != job.job_id:
        give_way(own, job.job_id)


def give_way(job_id: str, taker: str) -> None:
    """End the event's job in favour of ``taker``."""
    message = f"A request named this upload with other options: job {taker} makes its picture."
    get_services().jobs.take_over(job_id, message)
