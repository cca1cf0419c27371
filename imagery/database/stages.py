"""Stages of a job: begun by compare-and-set, so that a job that was cancelled or restarted is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from imagery.contracts import BlobRef, GpuTicket, JobState, Stage, StageState
from imagery.database.counters import count_latency
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.job_rows import enter, lock_job, stage_row
from imagery.database.ledger import Ledger
from imagery.database.savings import count_taken_over
from imagery.database.signatures import Signature, record_signature
from imagery.database.stage_cache import StageCache
from imagery.database.tables import ImageJob, StageRun, utc_now
from imagery.prices import Prices


@dataclass(frozen=True)
class BegunStage:
    """A stage that may work: its job, and its output where it has succeeded already.

    ``waited_for``: why the attempt before was put off. ``ticket``: of the work that the GPU has begun.
    """

    job: ImageJob
    attempt: int
    output: BlobRef | None
    waited_for: str | None = None
    ticket: GpuTicket | None = None


class Stages:
    """The repository of stages. ``prices``: what is counted as avoided when a picture is reused."""

    def __init__(self, database: Database, prices: Prices | None = None) -> None:
        self._database = database
        self._prices = prices or Prices()

    def begin(
        self, job_id: str, run: int, stage: Stage, deadline: datetime | None = None
    ) -> BegunStage | None:
        """Mark the stage RUNNING and count the attempt; ``deadline`` is what the orchestration goes by.

        Returns None if the job has ended, is in a later run or does not exist: the caller does nothing then.
        """
        with self._database.write() as session:
            job = lock_job(session, job_id)
            if job is None or job.run != run or JobState(job.state).is_terminal:
                return None
            row = stage_row(session, job_id, stage) or StageRun(
                job_id=job_id, stage=stage.value, state=StageState.PENDING
            )
            if row.state == StageState.SUCCEEDED:
                return BegunStage(job, row.attempt, _output(row))
            ticket = GpuTicket.from_json(row.ticket) if row.ticket else None
            waited_for = row.error_message if row.state == StageState.WAITING else None
            row.state, row.waiting_until = StageState.RUNNING, None
            if ticket is None:
                row.attempt += 1
                row.started_at = utc_now()
            # a batch's item gets its time when its turn comes
            job.deadline = deadline or job.deadline
            enter(session, job, JobState.VALIDATING if stage is Stage.GUARDRAIL else JobState.RUNNING)
            job.stage = stage.value
            job.updated_at = utc_now()
            session.add(row)
            if ticket is None:
                record(session, job, "stage_started", stage=stage, attempt=row.attempt)
            return BegunStage(job, row.attempt, None, waited_for, ticket)

    def go_on(
        self, job_id: str, stage: Stage, ticket: GpuTicket, until: datetime, progress: str = ""
    ) -> None:
        """Record that the GPU works on, and that somebody looks again at ``until``: no attempt ends."""
        with self._database.write() as session:
            job, row = _both(session, job_id, stage)
            if row.state == StageState.SUCCEEDED or JobState(job.state).is_terminal:
                return
            # also a sign of life: a job without events is taken for one that is stuck
            told: dict[str, Any] = {"attempt": row.attempt, "progress": progress}
            record(session, job, "stage_working", stage=stage, waiting_until=until.isoformat(), **told)
            _note_restart(session, job, row, ticket.work_id)
            row.ticket, row.waiting_until = ticket.to_json(), until
            row.error_code = row.error_message = None
            job.updated_at = utc_now()

    def succeed(
        self,
        job_id: str,
        stage: Stage,
        output: BlobRef,
        *,
        vram_used_gb: float | None = None,
        duration_ms: float | None = None,
        waited_ms: float | None = None,
        work_id: str = "",
        cached: bool = False,
        content_hash: str | None = None,
        scaled_from_mp: float | None = None,
        signature: Signature | None = None,
    ) -> None:
        """Record the stage's result. ``duration_ms`` defaults to the time since the attempt began.

        ``work_id``: of the GPU's work, which has begun again if it is another one than before.
        """
        with self._database.write() as session:
            self._succeed(
                session,
                job_id,
                stage,
                output,
                vram_used_gb=vram_used_gb,
                duration_ms=duration_ms,
                waited_ms=waited_ms,
                work_id=work_id,
                cached=cached,
                content_hash=content_hash,
                scaled_from_mp=scaled_from_mp,
                signature=signature,
            )

    def settle(self, ledger: Ledger, job_id: str, stage: Stage) -> None:
        """Settle the stage's paid call, whose answer is stored: what it cost stands in its row from now on.

        A job that waits for the same picture goes on waiting, until this stage has ended.
        """
        with self._database.write() as session:
            cost_usd = ledger.settle(session, job_id, stage)
            job, row = _both(session, job_id, stage)
            if cost_usd and row.cost_usd != cost_usd:
                row.cost_usd, job.updated_at = cost_usd, utc_now()

    def succeed_paid(
        self,
        ledger: Ledger,
        cache: StageCache,
        job_id: str,
        stage: Stage,
        output: BlobRef,
        *,
        signature: Signature | None = None,
    ) -> float:
        """Settle the stage's paid call, record its result and keep it for later jobs: all or nothing.

        A job that waits for the same picture thus finds it in the moment in which it is no longer being made.
        Returns what the stage has cost in all its runs, USD.
        """
        with self._database.write() as session:
            cost_usd = ledger.settle(session, job_id, stage)
            self._succeed(session, job_id, stage, output, cost_usd=cost_usd, signature=signature)
            cache.keep_in(session, job_id, stage, output)
        return cost_usd

    def _succeed(
        self,
        session: Session,
        job_id: str,
        stage: Stage,
        output: BlobRef,
        *,
        vram_used_gb: float | None = None,
        cost_usd: float = 0.0,
        duration_ms: float | None = None,
        waited_ms: float | None = None,
        work_id: str = "",
        cached: bool = False,
        content_hash: str | None = None,
        scaled_from_mp: float | None = None,
        signature: Signature | None = None,
    ) -> None:
        job, row = _both(session, job_id, stage)
        if row.state == StageState.SUCCEEDED:
            return
        _note_restart(session, job, row, work_id)
        row.ticket, row.waited_ms = None, waited_ms
        row.finished_at = utc_now()
        row.duration_ms = duration_ms if duration_ms is not None else _elapsed_ms(row)
        row.state = StageState.SUCCEEDED
        row.vram_used_gb = vram_used_gb
        row.cost_usd = cost_usd or row.cost_usd
        row.cached = cached
        job.content_hash = content_hash or job.content_hash
        job.scaled_from_mp = scaled_from_mp or job.scaled_from_mp
        row.output_container, row.output_name = output.container, output.name
        row.error_code = row.error_message = row.waiting_until = None
        job.updated_at = utc_now()
        measured: dict[str, Any] = {"duration_ms": row.duration_ms}
        if waited_ms is not None:
            measured["waited_ms"] = waited_ms
        if vram_used_gb is not None:
            measured["vram_used_gb"] = vram_used_gb
        if cost_usd:
            measured["cost_usd"] = cost_usd
        if cached:
            measured["cached"] = True
        record(session, job, "stage_finished", stage=stage, attempt=row.attempt, **measured)
        if row.duration_ms is not None:
            count_latency(session, job.owner_id, stage.value, row.duration_ms)
        if signature is not None:
            row.credentials = signature.delivered.value
            record_signature(session, job, stage, signature)
        if cached:
            count_taken_over(session, job, stage, self._prices)

    def wait(
        self,
        job_id: str,
        stage: Stage,
        code: str,
        message: str,
        until: datetime | None = None,
        *,
        tried: bool = True,
    ) -> None:
        """Record an attempt that failed and will be repeated, at ``until`` where that is known.

        ``tried`` False: nothing was tried, because nobody was there to do it; it counts as no attempt.
        """
        self._fail(job_id, stage, StageState.WAITING, code, message, until=until, tried=tried)

    def fail(self, job_id: str, stage: Stage, code: str, message: str) -> None:
        """Record an attempt that failed for good."""
        self._fail(job_id, stage, StageState.FAILED, code, message)

    def reject(self, job_id: str, stage: Stage, code: str, message: str) -> None:
        """Record that the stage, or the service behind it, rejected its input."""
        self._fail(job_id, stage, StageState.REJECTED, code, message)

    def reject_paid(self, ledger: Ledger, job_id: str, stage: Stage, code: str, message: str) -> None:
        """Record that what was paid for may not be used, and let a later run pay: all or nothing.

        A job that has ended meanwhile stays as it is: its next run judges the same picture, and is told.
        """
        with self._database.write() as session:
            if self._fail_in(session, job_id, stage, StageState.REJECTED, code=code, message=message):
                ledger.lose_result(session, job_id, stage, code)

    def _fail(
        self,
        job_id: str,
        stage: Stage,
        state: StageState,
        code: str,
        message: str,
        *,
        until: datetime | None = None,
        tried: bool = True,
    ) -> None:
        with self._database.write() as session:
            self._fail_in(session, job_id, stage, state, code=code, message=message, until=until, tried=tried)

    def _fail_in(
        self,
        session: Session,
        job_id: str,
        stage: Stage,
        state: StageState,
        *,
        code: str,
        message: str,
        until: datetime | None = None,
        tried: bool = True,
    ) -> bool:
        """Returns False where the stage has succeeded or the job has ended: both stay as they are."""
        job, row = _both(session, job_id, stage)
        if row.state == StageState.SUCCEEDED or JobState(job.state).is_terminal:
            return False
        row.state = state
        row.error_code, row.error_message = code, message
        if tried:
            row.ticket = None
            row.repeat_reason = message if state is StageState.WAITING else row.repeat_reason
        elif row.ticket is None:
            row.attempt -= 1
        row.finished_at = utc_now()
        row.duration_ms = _elapsed_ms(row)
        row.waiting_until = until
        job.updated_at = utc_now()
        record(
            session,
            job,
            "stage_waiting" if state is StageState.WAITING else "stage_failed",
            stage=stage,
            level="warning" if state is StageState.WAITING else "error",
            attempt=row.attempt,
            duration_ms=row.duration_ms,
            error_code=code,
            error=message,
            **({"waiting_until": until.isoformat()} if until else {}),
        )
        return True


def _both(session: Session, job_id: str, stage: Stage) -> tuple[ImageJob, StageRun]:
    job, row = lock_job(session, job_id), stage_row(session, job_id, stage)
    if job is None or row is None:
        raise LookupError(f"stage {stage.value} of job {job_id} was never begun")
    return job, row


def _note_restart(session: Session, job: ImageJob, row: StageRun, work_id: str) -> None:
    """Count that another work has taken over, if ``work_id`` is not the one it was."""
    before = GpuTicket.from_json(row.ticket).work_id if row.ticket else ""
    if not before or not work_id or before == work_id:
        return
    row.restarts += 1
    row.repeat_reason = "The GPU replica that worked on it is gone; another one took it over."
    record(session, job, "stage_restarted", stage=Stage(row.stage), level="warning", restarts=row.restarts)


def _output(row: StageRun) -> BlobRef | None:
    if row.output_container is None or row.output_name is None:
        return None
    return BlobRef(container=row.output_container, name=row.output_name)


def _elapsed_ms(row: StageRun) -> float | None:
    if row.started_at is None:
        return None
    return round((utc_now() - row.started_at).total_seconds() * 1000, 1)
