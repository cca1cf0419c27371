"""The items of a batch: which of them become jobs, and why others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from api.errors import ApiError
from api.intake import JobFromBlob, batch_job_request, checked_callback
from api.price_limit import check_price
from api.views import View
from imagery.contracts import UPLOADS, BlobRef, JobRequest
from imagery.database.new_jobs import JobOrder
from imagery.database.quotas import QuotaExceededError
from imagery.database.tables import ImageJob
from imagery.principal import Principal
from imagery.safe_http import RefusedUrlError
from imagery.services import get_services
from imagery.storage import BlobNameError, BlobProperties, StorageError, checked
from imagery.webhooks import SigningKeyError
from lifecycle.blob_requests import file_names
from lifecycle.starter import orders_of

# rows of one transaction: others wait for its locks
_CHUNK = 100
# blobs that are looked at at once
_LOOKS = 8
# items of one user from which on one listing is cheaper than a look at each
_MANY = 20
# names that such a listing reads at most: a user may have many more
_LISTED = 5000
# what makes one item none, and not the whole batch
_Refusal = ApiError | StorageError | QuotaExceededError | RefusedUrlError | SigningKeyError
_REFUSALS = (ApiError, StorageError, QuotaExceededError, RefusedUrlError, SigningKeyError)


class RefusedBatchItem(View):
    """An item for which there is no job."""

    index: int
    blob: str
    code: str
    message: str


@dataclass
class _Intake:
    """A batch that is being taken in."""

    batch_id: str
    caller: Principal
    items: list[JobFromBlob]
    jobs: list[ImageJob] = field(default_factory=list)
    refused: list[RefusedBatchItem] = field(default_factory=list)

    def run(self) -> None:
        for chunk in _chunks(list(self._orders())):
            made = get_services().jobs.create_many([order for _, order in chunk], get_services().quotas)
            known: dict[str, int] = {}
            for (index, _), each in zip(chunk, made, strict=True):
                if isinstance(each, QuotaExceededError):
                    self._refuse(index, each)
                elif each.created:
                    self.jobs.append(each.job)
                else:
                    known[each.job.job_id] = index
            self._adopt(known)
        self.refused.sort(key=lambda item: item.index)

    def _orders(self) -> Iterator[tuple[int, JobOrder]]:
        """The rows that are wanted, each with the index of its item."""
        check = _each_once({item.callback_url for item in self.items})
        look = _looks([item.blob for item in self.items], self.caller)
        names = file_names(_names([item.blob for item in self.items]))
        with ThreadPoolExecutor(_LOOKS, thread_name_prefix="batch") as pool:
            requests = list(pool.map(lambda item: self._request(item, check, look, names), self.items))
        named: dict[str, JobRequest] = {}
        wanted: list[int] = []
        for index, request in enumerate(requests):
            if isinstance(request, JobRequest) and request.job_id in named:
                text = "The batch names this blob with these options twice."
                self._refuse(index, ApiError(409, "duplicate_item", text))
            elif isinstance(request, JobRequest):
                named[request.job_id] = request
                wanted.append(index)
            else:
                self._refuse(index, request)
        # those before it may take all of their time; its own is counted from when its turn comes
        parallel = get_services().settings.jobs.quota.batch_parallel
        turns = [place // parallel + 1 for place in range(len(wanted))]
        yield from zip(wanted, orders_of(list(named.values()), turns), strict=True)

    def _request(
        self,
        item: JobFromBlob,
        check: Callable[[str | None], str | None],
        look: Callable[[BlobRef], BlobProperties],
        names: dict[str, str],
    ) -> JobRequest | _Refusal:
        try:
            check_price(item)
            return batch_job_request(item, self.caller, self.batch_id, check, look, file_names=names)
        except _REFUSALS as error:
            return error

    def _adopt(self, known: dict[str, int]) -> None:
        """Take jobs that run already into the batch, by their ids."""
        if not known:
            return
        adopted = get_services().jobs.adopt(list(known), self.batch_id)
        for job_id in known.keys() - adopted:
            text = "Another batch has this blob with these options."
            self._refuse(known[job_id], ApiError(409, "in_another_batch", text))

    def _refuse(self, index: int, error: _Refusal) -> None:
        blob = self.items[index].blob
        self.refused.append(RefusedBatchItem(index=index, blob=blob, code=error.code, message=str(error)))


def create_jobs(
    batch_id: str, caller: Principal, items: list[JobFromBlob]
) -> tuple[list[ImageJob], list[RefusedBatchItem]]:
    """The jobs that this batch has to start, in their order, and the items that get none."""
    intake = _Intake(batch_id, caller, items)
    intake.run()
    return intake.jobs, intake.refused


def _names(blobs: list[str]) -> list[str]:
    """The names of the blobs that can be ones: a database would stumble over the others."""
    names = []
    for blob in blobs:
        container, _, name = blob.partition("/")
        with suppress(BlobNameError):
            names.append(checked(BlobRef(container=container, name=name)).name)
    return names


def _looks(blobs: list[str], caller: Principal) -> Callable[[BlobRef], BlobProperties]:
    """``Storage.properties`` that reads one listing where many blobs are the caller's own uploads."""
    storage = get_services().storage
    prefix = f"{caller.user_id}/"
    if sum(blob.startswith(f"{UPLOADS}/{prefix}") for blob in blobs) < _MANY:
        return storage.properties
    try:
        seen = storage.glance(UPLOADS, prefix, _LISTED)
    except StorageError:
        # the looks say why, for each item
        seen = {}

    def look(ref: BlobRef) -> BlobProperties:
        return seen.get(ref.name) or storage.properties(ref)

    return look


def _each_once(urls: set[str | None]) -> Callable[[str | None], str | None]:
    """``checked_callback`` that looks each URL up once, not once an item."""
    found: dict[str | None, str | RefusedUrlError | SigningKeyError | None] = {}
    for url in urls:
        try:
            found[url] = checked_callback(url)
        except (RefusedUrlError, SigningKeyError) as error:
            found[url] = error

    def check(url: str | None) -> str | None:
        result = found[url]
        if isinstance(result, Exception):
            raise result
        return result

    return check


def _chunks(orders: list[tuple[int, JobOrder]]) -> Iterator[list[tuple[int, JobOrder]]]:
    for start in range(0, len(orders), _CHUNK):
        yield orders[start : start + _CHUNK]
