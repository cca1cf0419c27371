"""The items of a batch: which of them become jobs, and why others do not."""

from __future__ import annotations

from functools import lru_cache

from api.errors import ApiError
from api.intake import JobFromBlob, batch_job_request, checked_callback
from api.views import View
from imagery.database.quotas import QuotaExceededError
from imagery.database.tables import ImageJob
from imagery.principal import Principal
from imagery.safe_http import RefusedUrlError
from imagery.services import get_services
from imagery.storage import StorageError
from imagery.webhooks import SigningKeyError
from lifecycle.starter import create


class RefusedBatchItem(View):
    """An item for which there is no job."""

    index: int
    blob: str
    code: str
    message: str


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
            request = batch_job_request(item, caller, batch_id, check)
            if request.job_id in taken:
                raise ApiError(409, "duplicate_item", "The batch names this blob with these options twice.")
            # those before it may take all of their time; its own is counted from when its turn comes
            job, created = create(request, turns=len(jobs) // parallel + 1)
            if not created and get_services().jobs.adopt(job.job_id, batch_id) is None:
                raise ApiError(409, "in_another_batch", "Another batch has this blob with these options.")
        except (
            ApiError,
            StorageError,
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
