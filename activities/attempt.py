"""One attempt at a stage of a job: what it works with, and the ways in which it can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from imagery.backoff import patient_s, queue_s
from imagery.contracts import (
    BlobRef,
    GpuTicket,
    JobOptions,
    Stage,
    StageInput,
    StageOutcome,
    StageResult,
    stage_output,
)
from imagery.database.circuits import CircuitOpenError
from imagery.database.ledger import Reservation
from imagery.database.signatures import Signature
from imagery.database.stages import BegunStage
from imagery.database.tables import ImageJob, utc_now
from imagery.services import Services
from imagery.storage import BlobNotFoundError, StorageError
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)


class TransientStageError(Exception):
    """The attempt failed in a way that a retry may cure; the durable retry policy decides."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")


def _copy(attempt: Attempt, source: BlobRef) -> Signature | StageResult | None:
    attempt.services.storage.copy(source, attempt.target)
    return None


# how a result is taken over: what it says of itself, or why the stage waits or fails instead
Take = Callable[["Attempt", BlobRef], Signature | StageResult | None]


@dataclass(frozen=True)
class Attempt:
    """A stage that has begun. Its methods record how it ends and return the message that says so."""

    services: Services
    order: StageInput
    begun: BegunStage

    @property
    def job(self) -> ImageJob:
        """The job's row as it was when the attempt began."""
        return self.begun.job

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.order.job_id

    @property
    def stage(self) -> Stage:
        """The stage."""
        return self.order.stage

    @property
    def options(self) -> JobOptions:
        """What the job's owner chose."""
        return JobOptions.from_json(self.job.options)

    @property
    def target(self) -> BlobRef:
        """Where this stage writes to."""
        return stage_output(self.job_id, self.stage)

    def is_stored(self) -> bool:
        """True when an attempt has stored this stage's result, whatever its row says."""
        return self.services.storage.exists(self.target)

    def output_of(self, stage: Stage) -> BlobRef:
        """Where another stage of the job has written to."""
        return stage_output(self.job_id, stage)

    def succeed(
        self,
        *,
        duration_ms: float | None = None,
        waited_ms: float | None = None,
        work_id: str = "",
        vram_used_gb: float | None = None,
        content_hash: str | None = None,
        scaled_from_mp: float | None = None,
        cached: bool = False,
        signature: Signature | None = None,
    ) -> StageResult:
        """Record that the result stands at ``target``."""
        self.services.stages.succeed(
            self.job_id,
            self.stage,
            self.target,
            duration_ms=duration_ms,
            waited_ms=waited_ms,
            work_id=work_id,
            vram_used_gb=vram_used_gb,
            content_hash=content_hash,
            scaled_from_mp=scaled_from_mp,
            cached=cached,
            signature=signature,
        )
        return self.stands_at(self.target)

    def settle(self) -> None:
        """Record that the paid call was answered, whatever becomes of its picture."""
        self.services.stages.settle(self.services.ledger, self.job_id, self.stage)

    def succeed_paid(self, signature: Signature | None = None) -> StageResult:
        """Record that the result was paid and stands at ``target``, and keep it for later jobs."""
        services = self.services
        cost_usd = services.stages.succeed_paid(
            services.ledger,
            services.stage_cache,
            self.job_id,
            self.stage,
            self.target,
            signature=signature,
        )
        return self.stands_at(self.target, cost_usd)

    def stands_at(self, output: BlobRef, cost_usd: float = 0.0) -> StageResult:
        """The stage's result stands at ``output``; its row says so already."""
        return StageResult(stage=self.stage, outcome=StageOutcome.SUCCEEDED, output=output, cost_usd=cost_usd)

    def fail(self, code: str, message: str) -> StageResult:
        """Record a failure that no retry will cure."""
        self.services.stages.fail(self.job_id, self.stage, code, message)
        return self._without_result(StageOutcome.FAILED, code, message)

    def reject(self, code: str, message: str) -> StageResult:
        """Record that the input itself was rejected."""
        self.services.stages.reject(self.job_id, self.stage, code, message)
        return self._without_result(StageOutcome.REJECTED, code, message)

    def reject_paid(self, code: str, message: str) -> StageResult:
        """Record that what was paid may not be used; a later run may pay again."""
        self.services.stages.reject_paid(self.services.ledger, self.job_id, self.stage, code, message)
        return self._without_result(StageOutcome.REJECTED, code, message)

    def cancel(self) -> StageResult:
        """The job has ended meanwhile: there is nothing to record."""
        return StageResult(stage=self.stage, outcome=StageOutcome.CANCELLED)

    def later(self, code: str, message: str, after_s: float, *, tried: bool = True) -> StageResult:
        """Record that the stage was asked to wait ``after_s`` seconds; the waits grow from look to look.

        ``tried`` False: nobody was there to try it, so this was no attempt.
        """
        wait_s = self.wait_s(after_s)
        until = utc_now() + timedelta(seconds=wait_s)
        self.services.stages.wait(self.job_id, self.stage, code, message, until, tried=tried)
        return self._retry_later(code, message, wait_s)

    def goes_on(self, code: str, message: str, ticket: GpuTicket, after_s: float) -> StageResult:
        """Record that the GPU works on by itself; somebody looks again in ``after_s`` seconds."""
        wait_s = self.wait_s(after_s)
        until = utc_now() + timedelta(seconds=wait_s)
        self.services.stages.go_on(self.job_id, self.stage, ticket, until, message)
        return self._retry_later(code, message, wait_s)

    def _retry_later(self, code: str, message: str, wait_s: float) -> StageResult:
        return StageResult(
            stage=self.stage,
            outcome=StageOutcome.RETRY_LATER,
            error_code=code,
            message=message,
            retry_after_s=wait_s,
        )

    def wait_s(self, after_s: float) -> int:
        """Seconds that ``later`` would make of ``after_s``."""
        return queue_s(patient_s(after_s, self.order.waits + 1, self.services.settings.jobs.deadline_s))

    def circuit_open(self, error: CircuitOpenError) -> StageResult:
        """Record that the stage waits for a dependency that nobody calls now."""
        return self.later(error.code, str(error), error.wait_s)

    def transient(self, code: str, message: str) -> TransientStageError:
        """Record a failure that the retry policy will repeat; the caller raises what is returned."""
        self.services.stages.wait(self.job_id, self.stage, code, message)
        return TransientStageError(code, message)

    def reuse(self, reservation: Reservation | None = None, take: Take = _copy) -> StageResult | None:
        """Take over what an earlier job made of the same input. Returns None if there is nothing to take.

        ``take`` brings it to ``target``. A ``reservation`` for what is taken over is released. Raises
        ``TransientStageError`` where a paid picture is there and can't be copied.
        """
        cache, key = self.services.stage_cache, self.services.stage_cache.key(self.job, self.stage)
        if key is None or self.options.fresh:
            return None
        entry = cache.find(key)
        if entry is None or entry.job_id == self.job_id:
            return None
        source = BlobRef(container=entry.output_container, name=entry.output_name)
        try:
            taken = take(self, source)
        except BlobNotFoundError:
            cache.forget(key, entry.job_id)
            return None
        except StorageError as error:
            _log.warning("cache_copy_failed", error=str(error))
            if self.stage is not Stage.NANO_BANANA:
                return None
            # it is paid and there: to pay again because it can't be read now would be the worst way out
            if reservation is not None:
                self.services.ledger.release(
                    reservation.entry_id, "its picture is paid, and can't be read now"
                )
            raise self.transient("storage_unavailable", str(error)) from error
        if reservation is not None:
            self.services.ledger.release(reservation.entry_id, "an earlier job has paid for the same picture")
        if isinstance(taken, StageResult):
            return taken
        outcome = self.succeed(cached=True, signature=taken)
        cache.used(key, self.job_id, self.target)
        return outcome

    def keep(self) -> None:
        """Keep the finished stage for later jobs."""
        key = self.services.stage_cache.key(self.job, self.stage)
        if key is not None:
            self.services.stage_cache.keep(key, self.job_id, self.target)

    def _without_result(self, outcome: StageOutcome, code: str, message: str) -> StageResult:
        return StageResult(stage=self.stage, outcome=outcome, error_code=code, message=message)
