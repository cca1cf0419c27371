"""The items of a batch: which of them become jobs, and why others do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from api.v1.process import JobFromBlob, checked_callback, refusals, uploaded
from api.views import View
from imagery.contracts import JobOptions, JobRequest
from imagery.database.quotas import QuotaExceededError
from imagery.database.tables import ImageJob
from imagery.principal import Principal
from imagery.safe_http import RefusedUrlError
from imagery.services import get_services
from imagery.storage import StorageError
from imagery.webhooks import SigningKeyError
from lifecycle.blob_requests import blob_request, pinned
from lifecycle.starter import create


class RefusedBatchItem(View):
    """An item for which there is no job."""

    index: int
    blob: str
    code: str
    message: str


class ItemError(Exception):
    """An item can't be part of the batch."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def create_jobs(
    batch_id: str, caller: Principal, items: list[JobFromBlob]
) -> tuple[list[ImageJob], list[RefusedBatchItem]]:
    """The jobs that this batch has to start, in their order, and the items that get none."""
    jobs: list[ImageJob] = []
    refused: list[RefusedBatchItem] = []
    taken: set[str] = set()
    # each URL is looked up once, not once an item
    check = lru_cache(checked_callback)
    parallel = get_services().settings.jobs.batch_parallel
    for index, item in enumerate(items):
        try:
            request = _job_request(batch_id, caller, item, check)
            if request.job_id in taken:
                raise ItemError("duplicate_item", "The batch names this blob with these options twice.")
            # those before it may take all of their time; its own is counted from when its turn comes
            job, created = create(request, turns=len(jobs) // parallel + 1)
            if not created and get_services().jobs.adopt(job.job_id, batch_id) is None:
                raise ItemError("in_another_batch", "Another batch has this blob with these options.")
        except (
            StorageError,
            ItemError,
            QuotaExceededError,
            RefusedUrlError,
            SigningKeyError,
        ) as error:
            refused.append(RefusedBatchItem(index=index, blob=item.blob, code=error.code, message=str(error)))
            continue
        taken.add(job.job_id)
        if created:
            jobs.append(job)
    return jobs, refused


def _job_request(
    batch_id: str, caller: Principal, item: JobFromBlob, check: Callable[[str | None], str | None]
) -> JobRequest:
    source = uploaded(item.blob, caller)
    failed = refusals(item.prompt)
    if failed:
        raise ItemError(failed[0].code or "rejected", failed[0].message)
    url = check(item.callback_url)
    properties = get_services().storage.properties(source)
    return blob_request(
        pinned(source, properties),
        JobOptions.model_validate(item.model_dump(exclude={"blob", "callback_url"})),
        content_type=properties.content_type,
        batch_id=batch_id,
        callback_url=url,
    )
