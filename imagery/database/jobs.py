"""Jobs: created once, changed only by compare-and-set, ended once a run."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select

from imagery.contracts import OPEN_STATES, BlobRef, JobOptions, JobRequest, JobState, Stage, StageState
from imagery.database.budget import release_reserved
from imagery.database.callbacks import add_callback
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.job_rows import close_stage, enter, has_begun, lock_job, lock_jobs, stage_row, stages_of
from imagery.database.job_views import JobFilter, JobView, JobViewPage, job_page, job_view
from imagery.database.new_jobs import JobOrder, MadeJob, insert, lock_takeable
from imagery.database.quotas import QuotaExceededError, Quotas
from imagery.database.savings import count_unpaid
from imagery.database.tables import ImageJob, SpendEntry, utc_now
from imagery.prices import Prices

RETRYABLE_STATES = frozenset({JobState.FAILED, JobState.CANCELLED})
_OPEN_STAGES = frozenset({StageState.RUNNING, StageState.WAITING})


class Jobs:
    """The repository of jobs. ``prices``: what is counted as avoided if a run ends unpaid."""

    def __init__(
        self,
        database: Database,
        callback_lifetime: timedelta = timedelta(days=1),
        prices: Prices | None = None,
    ) -> None:
        self._database = database
        self._callback_lifetime = callback_lifetime
        self._prices = prices or Prices()

    def create(
        self,
        request: JobRequest,
        *,
        instance_id: str,
        deadline: datetime,
        quotas: Quotas | None = None,
        takes: str | None = None,
    ) -> tuple[ImageJob, bool]:
        """Insert the job. Returns it and whether this call created it (False: it existed already).

        In the same transaction a new job ends ``takes``, if nobody but its upload has asked for that one
        and its paid call was not sent. Raises ``QuotaExceededError`` when a new job exceeds ``quotas``.
        """
        (made,) = self.create_many([JobOrder(request, instance_id, deadline, takes)], quotas)
        if isinstance(made, QuotaExceededError):
            raise made
        return made.job, made.created

    def create_many(
        self, orders: list[JobOrder], quotas: Quotas | None = None
    ) -> list[MadeJob | QuotaExceededError]:
        """``create`` for many in one transaction; what a quota refuses is its error in the list."""
        try:
            with self._database.write() as session:
                made, taken = insert(session, orders, quotas)
                for job, taker in taken:
                    self._take_over(session, job, taker)
        except IntegrityError:
            # another process was first with one of them
            if len(orders) > 1:
                return [each for order in orders for each in self.create_many([order], quotas)]
            existing = self.get(orders[0].request.job_id)
            if existing is None:
                raise
            return [MadeJob(existing, created=False)]
        return made

    def get(self, job_id: str) -> ImageJob | None:
        """Returns None if there is no such job."""
        with self._database.read() as session:
            return session.get(ImageJob, job_id)

    def known(self, job_ids: list[str]) -> set[str]:
        """Those of ``job_ids`` that are jobs."""
        with self._database.read() as session:
            return set(session.exec(select(ImageJob.job_id).where(col(ImageJob.job_id).in_(job_ids))))

    def naming(self, sources: list[BlobRef]) -> dict[tuple[str, str | None], list[str]]:
        """Ids of the jobs that read these blobs, oldest first, by the blob's name and version."""
        query = (
            select(ImageJob.source_name, ImageJob.source_etag, ImageJob.job_id)
            .where(col(ImageJob.source_name).in_([source.name for source in sources]))
            .where(col(ImageJob.source_container).in_({source.container for source in sources}))
            .order_by(col(ImageJob.created_at), col(ImageJob.job_id))
        )
        found: dict[tuple[str, str | None], list[str]] = {}
        with self._database.read() as session:
            for name, etag, job_id in session.exec(query):
                found.setdefault((name, etag), []).append(job_id)
        return found

    def view(self, job_id: str) -> JobView | None:
        """The job with its stages. Returns None if there is no such job."""
        with self._database.read() as session:
            return job_view(session, job_id)

    def page(
        self, wanted: JobFilter, *, limit: int, cursor: tuple[datetime, str] | None = None
    ) -> JobViewPage:
        """One page of the jobs of ``wanted``."""
        with self._database.read() as session:
            return job_page(session, wanted, limit, cursor)

    def unfinished(self, untouched_since: datetime, limit: int, offset: int = 0) -> list[ImageJob]:
        """Open jobs that were not changed since then, oldest first."""
        query = (
            select(ImageJob)
            .where(col(ImageJob.state).in_(OPEN_STATES))
            .where(col(ImageJob.updated_at) < untouched_since)
            .order_by(col(ImageJob.updated_at), col(ImageJob.job_id))
            .limit(limit)
            .offset(offset)
        )
        with self._database.read() as session:
            return list(session.exec(query))

    def finish(
        self,
        job_id: str,
        run: int,
        state: JobState,
        *,
        stage: Stage | None = None,
        error_code: str | None = None,
        message: str | None = None,
    ) -> ImageJob | None:
        """End the job's run once. A job that has ended, or is in a later run, stays as it is.

        Without ``error_code`` the error of the stage's row is used. Returns None if there is no such job.
        """
        with self._database.write() as session:
            job = lock_job(session, job_id)
            if job is None or job.run != run or JobState(job.state).is_terminal:
                return job
            self._end(session, job, state, stage=stage, error_code=error_code, message=message)
            return job

    def give_way(self, job_id: str) -> bool:
        """Cancel a job that is its upload's alone where another job of that upload was asked for.

        Returns False where it goes on: nobody has asked, its paid call was sent, or it has ended.
        """
        with self._database.write() as session:
            job = lock_takeable(session, [job_id]).get(job_id)
            taker = _taker(session, job) if job is not None else None
            if job is None or taker is None:
                return False
            self._take_over(session, job, taker)
            return True

    def _take_over(self, session: Session, job: ImageJob, taker: str) -> None:
        stage = Stage(job.stage) if job.stage else None
        message = f"A request named this upload with other options: job {taker} makes its picture."
        self._end(session, job, JobState.CANCELLED, stage=stage, error_code="taken_over", message=message)

    def name(self, job_id: str, request_hash: str) -> None:
        """Note that a request has asked for a job that its upload had started."""
        with self._database.write() as session:
            job = lock_job(session, job_id)
            if job is not None and not job.request_hash:
                job.request_hash = request_hash

    def _end(
        self,
        session: Session,
        job: ImageJob,
        state: JobState,
        *,
        stage: Stage | None,
        error_code: str | None,
        message: str | None,
        has_entries: bool = True,
    ) -> None:
        """``has_entries``: False for a job that is known to have none in the ledger."""
        if has_begun(job):
            error_code, message = _close_stages(session, job, state, stage, (error_code, message))
        enter(session, job, state)
        job.stage = stage.value if stage else job.stage
        job.error_code = error_code
        job.error_message = message
        job.finished_at = job.updated_at = utc_now()
        seconds = (job.finished_at - job.created_at).total_seconds()
        record(
            session,
            job,
            f"job_{state.value.lower()}",
            stage=stage,
            level="error" if state is JobState.FAILED else "info",
            duration_ms=round(seconds * 1000, 1),
            **({"error_code": error_code, "error": message} if error_code else {}),
        )
        if has_entries:
            release_reserved(session, job)
        count_unpaid(session, job, self._prices, has_entries=has_entries)
        add_callback(session, job, self._callback_lifetime)

    def cancel(self, job_id: str) -> ImageJob | None:
        """Cancel a job unless it has ended. Returns the job, or None if there is no such job."""
        job = self.get(job_id)
        if job is not None:
            self.cancel_many([job])
        return self.get(job_id)

    def cancel_many(self, jobs: list[ImageJob]) -> None:
        """Cancel the current runs of these jobs in one transaction; what has ended stays as it is."""
        runs = {job.job_id: job.run for job in jobs}
        with self._database.write() as session:
            locked = lock_jobs(session, list(runs))
            # asked once for all of them: most jobs of a batch have never begun
            entries = select(SpendEntry.job_id).where(col(SpendEntry.job_id).in_(runs))
            with_entries = set(session.exec(entries))
            for job in locked:
                if job.run != runs[job.job_id] or JobState(job.state).is_terminal:
                    continue
                self._end(
                    session,
                    job,
                    JobState.CANCELLED,
                    stage=Stage(job.stage) if job.stage else None,
                    error_code="cancelled",
                    message="The job was cancelled on request.",
                    has_entries=job.job_id in with_entries,
                )

    def begin_run(
        self, job_id: str, *, instance_id: str, run: int, deadline: datetime, quotas: Quotas | None = None
    ) -> ImageJob | None:
        """Queue an ended job again as ``run``; finished stages keep their outputs.

        Returns None if the job is no longer FAILED or CANCELLED, or another request was first. Raises
        ``QuotaExceededError`` when one more open job exceeds ``quotas``.
        """
        with self._database.write() as session:
            job = lock_job(session, job_id)
            if job is None or JobState(job.state) not in RETRYABLE_STATES or job.run != run - 1:
                return None
            if quotas is not None:
                quotas.check(session, job.owner_id, JobOptions.from_json(job.options))
            enter(session, job, JobState.QUEUED)
            job.stage = None
            job.error_code = job.error_message = job.finished_at = job.expired_at = None
            job.run, job.instance_id, job.deadline, job.restarts = run, instance_id, deadline, 0
            job.updated_at = utc_now()
            for row in stages_of(session, [job_id]).get(job_id, []):
                if row.state != StageState.SUCCEEDED:
                    row.state = StageState.PENDING
                    row.error_code = row.error_message = None
                    row.ticket, row.restarts, row.repeat_reason = None, 0, None
            record(session, job, "job_retried", run=run)
            return job

    def adopt(self, job_ids: list[str], batch_id: str) -> set[str]:
        """Take jobs without a batch into ``batch_id``. Returns those that are in it now."""
        with self._database.write() as session:
            jobs = [job for job in lock_jobs(session, job_ids) if job.batch_id in {None, batch_id}]
            for job in jobs:
                job.batch_id = batch_id
            return {job.job_id for job in jobs}

    def count_restart(self, job_id: str, run: int) -> int | None:
        """Count one restart of the job's orchestration. Returns None if the job has ended meanwhile."""
        with self._database.write() as session:
            job = lock_job(session, job_id)
            if job is None or job.run != run or JobState(job.state).is_terminal:
                return None
            job.restarts += 1
            job.updated_at = utc_now()
            record(session, job, "job_restarted", level="warning", restarts=job.restarts)
            return job.restarts


def _close_stages(
    session: Session,
    job: ImageJob,
    state: JobState,
    stage: Stage | None,
    given: tuple[str | None, str | None],
) -> tuple[str | None, str | None]:
    """End the stages of a job that ends at ``stage``. Returns code and message, the stage's by default."""
    error_code, message = given
    row = stage_row(session, job.job_id, stage) if stage else None
    if row is not None and state is not JobState.COMPLETED:
        error_code = error_code or row.error_code
        message = message or row.error_message
        close_stage(row, state, error_code, message)
    for other in stages_of(session, [job.job_id]).get(job.job_id, []):
        # the caller read the stage before this lock: the next one may have begun since
        if other is not row and other.state in _OPEN_STAGES:
            close_stage(other, state, error_code, message)
    return error_code, message


def _taker(session: Session, job: ImageJob) -> str | None:
    """The oldest job of the same version of the same upload that a request or a batch asked for."""
    query = (
        select(ImageJob.job_id)
        .where(ImageJob.source_name == job.source_name, ImageJob.source_etag == job.source_etag)
        .where(ImageJob.source_container == job.source_container, ImageJob.job_id != job.job_id)
        .where(or_(ImageJob.request_hash != "", col(ImageJob.batch_id).is_not(None)))
        .order_by(col(ImageJob.created_at), col(ImageJob.job_id))
    )
    return session.exec(query).first()
