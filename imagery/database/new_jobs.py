"""Writes the rows of new jobs inside a transaction of the caller's, one or many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from imagery.contracts import JobOptions, JobRequest, JobState
from imagery.database.counters import Metric, count
from imagery.database.events import record
from imagery.database.job_rows import lock_jobs
from imagery.database.money import SpendState
from imagery.database.quotas import QuotaExceededError, Quotas
from imagery.database.tables import ImageJob, SpendEntry
from imagery.file_names import file_name
from imagery.text import plain

_MAX_TYPE = 200
_SENT = (SpendState.SENT, SpendState.SETTLED, SpendState.UNKNOWN)


@dataclass(frozen=True)
class JobOrder:
    """A job that is wanted. ``takes``: the job of the same upload that it ends, if that one may be ended."""

    request: JobRequest
    instance_id: str
    deadline: datetime
    takes: str | None = None


@dataclass(frozen=True)
class MadeJob:
    """The job of an order. ``created`` is False if it existed already."""

    job: ImageJob
    created: bool


def insert(
    session: Session, orders: list[JobOrder], quotas: Quotas | None
) -> tuple[list[MadeJob | QuotaExceededError], list[tuple[ImageJob, str]]]:
    """Insert the jobs that do not exist and that their owners' quotas admit.

    Returns what became of each order, and the jobs to be ended, locked, each with the id of its taker.
    """
    existing = _existing(session, [order.request.job_id for order in orders])
    # locked before the owners' rows, as everywhere
    takeable = lock_takeable(session, [order.takes for order in orders if order.takes])
    checks = _Checks(session, quotas)
    made: list[MadeJob | QuotaExceededError] = []
    taken: list[tuple[ImageJob, str]] = []
    for order in orders:
        known = existing.get(order.request.job_id)
        if known is not None:
            made.append(MadeJob(known, created=False))
            continue
        try:
            checks.of(order.request)()
        except QuotaExceededError as error:
            made.append(error)
            continue
        job = _row(order)
        session.add(job)
        count(session, job.owner_id, Metric.JOBS, job.state)
        record(session, job, "job_queued", source=order.request.source.path)
        made.append(MadeJob(job, created=True))
        if order.takes in takeable:
            taken.append((takeable.pop(order.takes), job.job_id))
    session.flush()
    return made, taken


def lock_takeable(session: Session, job_ids: list[str]) -> dict[str, ImageJob]:
    """Those, locked, that are their uploads' alone (in no request or batch, not run again) and unpaid."""
    if not job_ids:
        return {}
    found = {
        job.job_id: job
        for job in lock_jobs(session, job_ids)
        if not (job.request_hash or job.batch_id or job.run > 1 or JobState(job.state).is_terminal)
    }
    sent = select(SpendEntry.job_id).where(
        col(SpendEntry.job_id).in_(found), col(SpendEntry.state).in_(_SENT)
    )
    for job_id in set(session.exec(sent)):
        del found[job_id]
    return found


class _Checks:
    """The quota check of each order: a batch's items are checked for money, other jobs for everything."""

    def __init__(self, session: Session, quotas: Quotas | None) -> None:
        self._session = session
        self._quotas = quotas
        self._of_items: dict[str, Callable[[JobOptions], None]] = {}

    def of(self, request: JobRequest) -> Callable[[], None]:
        quotas, session, owner_id = self._quotas, self._session, request.owner_id
        if quotas is None:
            return lambda: None
        if request.batch_id is None:
            return lambda: quotas.check(session, owner_id, request.options)
        if owner_id not in self._of_items:
            self._of_items[owner_id] = quotas.item_check(session, owner_id)
        check = self._of_items[owner_id]
        return lambda: check(request.options)


def _existing(session: Session, job_ids: list[str]) -> dict[str, ImageJob]:
    found = session.exec(select(ImageJob).where(col(ImageJob.job_id).in_(job_ids)))
    return {job.job_id: job for job in found}


def _kept(options: JobOptions) -> JobOptions:
    """The options of a row. A job without a scene may pay nothing, also where an instance of the previous
    version, which runs every stage, takes it over.
    """
    return options if options.output.has_scene else options.model_copy(update={"max_usd": 0.0})


def _row(order: JobOrder) -> ImageJob:
    request = order.request
    return ImageJob(
        job_id=request.job_id,
        owner_id=request.owner_id,
        batch_id=request.batch_id,
        source_container=request.source.container,
        source_name=request.source.name,
        source_etag=request.source.etag,
        file_name=file_name(request.file_name),
        scaled_from_mp=request.scaled_from_mp,
        content_type=plain(request.content_type, _MAX_TYPE) if request.content_type else None,
        request_hash=request.request_hash,
        options=_kept(request.options).to_json(),
        callback_url=request.callback_url,
        state=JobState.QUEUED,
        instance_id=order.instance_id,
        deadline=order.deadline,
    )
