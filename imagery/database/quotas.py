"""Quotas of a user, checked with the user's row locked, in the transaction that creates or runs a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from imagery.contracts import OPEN_STATES, ImageSize, JobOptions, JobOutput, JobState, Stage, StageState
from imagery.database.engine import Database
from imagery.database.money import SpendState, to_micro, to_usd, usd_per_day
from imagery.database.tables import (
    Batch,
    ImageJob,
    JobEvent,
    SpendEntry,
    StageRun,
    UploadTicket,
    User,
    utc_now,
)
from imagery.prices import Prices
from imagery.settings import Settings
from imagery.storage import LINK_LIFETIME_S

_WINDOW = timedelta(minutes=1)
_LATEST_EVENTS = 5000
_OPEN_JOBS_RETRY_S = 10.0


class QuotaExceededError(Exception):
    """The user has used up a quota. ``retry_after_s``: when another attempt may succeed."""

    def __init__(self, code: str, message: str, retry_after_s: float, *, is_money: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = max(1.0, retry_after_s)
        self.is_money = is_money


@dataclass(frozen=True)
class OwnerUsage:
    """What a user may do, and has done: jobs in the last minute, open jobs, USD of today (UTC).

    ``usd_today`` holds what is paid, what may have been, and what open jobs may still cost.
    """

    jobs_per_minute: int
    concurrent_jobs: int
    usd_per_day: float
    jobs_last_minute: int
    open_jobs: int
    usd_today: float


@dataclass(frozen=True)
class Quotas:
    """The limits of users without limits of their own, and what jobs cost."""

    jobs_per_minute: int
    concurrent_jobs: int
    usd_per_day: float
    prices: Prices

    @classmethod
    def of(cls, settings: Settings) -> Quotas:
        """The quotas of the settings."""
        return cls(
            jobs_per_minute=settings.jobs.quota.jobs_per_minute,
            concurrent_jobs=settings.jobs.quota.concurrent_jobs,
            usd_per_day=settings.jobs.quota.usd_per_day,
            prices=settings.nano_banana.price_table,
        )

    def check_early(self, database: Database, owner_id: str, options: JobOptions) -> None:
        """``check`` before any work is done for a job; it is repeated when the job is written."""
        with database.read() as session:
            self.check(session, owner_id, options)

    def check(self, session: Session, owner_id: str, options: JobOptions) -> None:
        """Raise ``QuotaExceededError`` if one more job, with these options, exceeds a quota.

        An owner that is no user has none.
        """
        user = _locked(session, owner_id)
        if user is not None:
            now = utc_now()
            usage = self.usage(session, user, now)
            _check_jobs(session, owner_id, usage, now)
            _check_money(usage, self.prices.of_options(options), now)

    def check_ticket(self, database: Database, owner_id: str, options: JobOptions) -> None:
        """Raise ``QuotaExceededError`` if one more upload may not be announced now: each may become a job."""
        with database.read() as session:
            self.check(session, owner_id, options)
            user = session.get(User, owner_id)
            if user is None:
                return
            limit = _first(user.jobs_per_minute, self.jobs_per_minute)
            # a ticket's row has no other time than its end
            given_after = utc_now() + timedelta(seconds=LINK_LIFETIME_S) - _WINDOW
            recent = select(UploadTicket.ticket_id).where(
                UploadTicket.owner_id == owner_id, col(UploadTicket.expires_at) > given_after
            )
            if _count(session, recent) >= limit:
                message = f"You have asked for {limit} upload links in a minute, as many as you may."
                raise QuotaExceededError("quota_jobs_per_minute", message, _WINDOW.total_seconds())

    def check_batch(self, session: Session, owner_id: str) -> None:
        """Raise ``QuotaExceededError`` if one more batch may not begin now.

        It counts as one job of the minute, however many items it has, and its items count as open only
        from when their turn comes: those that wait do not run, and ``batch_parallel`` bounds those that
        do. Each of them needs its money from the beginning, see ``item_check``.
        """
        user = _locked(session, owner_id)
        if user is not None:
            now = utc_now()
            _check_jobs(session, owner_id, self.usage(session, user, now), now)

    def item_check(self, session: Session, owner_id: str) -> Callable[[JobOptions], None]:
        """A check to be called once for each further item of a batch, in this transaction.

        It raises ``QuotaExceededError`` when there is no money for one more.
        """
        user = _locked(session, owner_id)
        if user is None:
            return lambda _: None
        now = utc_now()
        usage = self.usage(session, user, now)
        planned = to_micro(usage.usd_today)

        def check(options: JobOptions) -> None:
            nonlocal planned
            price = self.prices.of_options(options)
            _check_money(replace(usage, usd_today=to_usd(planned)), price, now)
            planned += price

        return check

    def usage(self, session: Session, user: User, now: datetime) -> OwnerUsage:
        """What ``user`` may do and has done."""
        jobs = select(func.count()).select_from(ImageJob).where(ImageJob.owner_id == user.user_id)
        started = sum(_count(session, query) for query in _starts(user.user_id, now))
        is_open = col(ImageJob.state).in_(OPEN_STATES)
        waits_for_its_turn = (col(ImageJob.state) == JobState.QUEUED) & col(ImageJob.batch_id).is_not(None)
        opened = session.exec(jobs.where(is_open, ~waits_for_its_turn)).one()
        entries = (
            select(SpendEntry.job_id)
            .where(SpendEntry.owner_id == user.user_id)
            .where(col(SpendEntry.state) != SpendState.RELEASED)
        )
        spent = session.exec(
            select(func.coalesce(func.sum(SpendEntry.price_micro_usd), 0))
            .where(SpendEntry.owner_id == user.user_id)
            .where(col(SpendEntry.state) != SpendState.RELEASED)
            .where(col(SpendEntry.reserved_at) >= _midnight(now))
        ).one()
        unpaid = is_open & (col(ImageJob.owner_id) == user.user_id) & col(ImageJob.job_id).not_in(entries)
        return OwnerUsage(
            jobs_per_minute=_first(user.jobs_per_minute, self.jobs_per_minute),
            concurrent_jobs=_first(user.concurrent_jobs, self.concurrent_jobs),
            usd_per_day=usd_per_day(user, self.usd_per_day),
            jobs_last_minute=started,
            open_jobs=int(opened),
            usd_today=to_usd(int(spent) + expected_micro_usd(session, self.prices, unpaid)),
        )


def expected_micro_usd(session: Session, prices: Prices, which: ColumnElement[bool]) -> int:
    """What the pictures of these jobs are expected to cost."""
    size = col(ImageJob.options)["image_size"].as_string()
    output = col(ImageJob.options)["output"].as_string()
    # rows of earlier versions say nothing
    has_scene = output.is_(None) | (output == JobOutput.SCENE.value)
    query = columns(size, func.count()).select_from(ImageJob).where(which & has_scene).group_by(size)
    rows = session.execute(query)
    return sum(prices.of_order(ImageSize(name or ImageSize.K1)) * int(number) for name, number in rows)


def has_its_picture() -> ColumnElement[bool]:
    """The condition that a job's paid stage has succeeded."""
    return (
        exists()
        .where(col(StageRun.job_id) == ImageJob.job_id, col(StageRun.stage) == Stage.NANO_BANANA.value)
        .where(col(StageRun.state) == StageState.SUCCEEDED)
    )


def _check_money(usage: OwnerUsage, price_micro_usd: int, now: datetime) -> None:
    if price_micro_usd and to_micro(usage.usd_today) + price_micro_usd > to_micro(usage.usd_per_day):
        message = (
            f"Another job would exceed your ${usage.usd_per_day:.2f} a day "
            f"(${usage.usd_today:.2f} are spent or reserved). It resets at 00:00 UTC."
        )
        wait = (_midnight(now) + timedelta(days=1) - now).total_seconds()
        raise QuotaExceededError("quota_usd_per_day", message, wait, is_money=True)


def _first(own: int | None, default: int) -> int:
    return default if own is None else own


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _locked(session: Session, owner_id: str) -> User | None:
    return session.exec(select(User).where(User.user_id == owner_id).with_for_update()).first()


def _check_jobs(session: Session, owner_id: str, usage: OwnerUsage, now: datetime) -> None:
    if usage.jobs_last_minute >= usage.jobs_per_minute:
        message = f"You have started {usage.jobs_last_minute} jobs in a minute, as many as you may."
        raise QuotaExceededError("quota_jobs_per_minute", message, _window_s(session, owner_id, now))
    if usage.open_jobs >= usage.concurrent_jobs:
        message = f"{usage.open_jobs} of your jobs are open, as many as may be. Wait for one to end."
        raise QuotaExceededError("quota_concurrent_jobs", message, _OPEN_JOBS_RETRY_S)


def _starts(owner_id: str, now: datetime) -> list[Any]:
    """What was started in the last minute: jobs (a batch may have adopted them since), retries, batches."""
    since = now - _WINDOW
    made_by_its_batch = exists().where(
        col(Batch.batch_id) == ImageJob.batch_id, col(Batch.created_at) <= ImageJob.created_at
    )
    jobs = select(ImageJob.created_at).where(ImageJob.owner_id == owner_id, ~made_by_its_batch)
    batches = select(Batch.created_at).where(Batch.owner_id == owner_id)
    # only the latest events are looked at: more do not fit into a minute
    latest = select(JobEvent.at, JobEvent.event).where(JobEvent.owner_id == owner_id)
    events = latest.order_by(col(JobEvent.id).desc()).limit(_LATEST_EVENTS).subquery()
    retries = select(events.c.at).where(events.c.event == "job_retried", events.c.at > since)
    return [
        jobs.where(col(ImageJob.created_at) > since),
        batches.where(col(Batch.created_at) > since),
        retries,
    ]


def _count(session: Session, query: Any) -> int:
    return int(session.exec(select(func.count()).select_from(query.subquery())).one())


def _window_s(session: Session, owner_id: str, now: datetime) -> float:
    """Seconds until the oldest of what was started in the last minute is a minute old."""
    oldest = [moment for query in _starts(owner_id, now) for moment in session.exec(query)]
    return (min(oldest) + _WINDOW - now).total_seconds() if oldest else 1.0
