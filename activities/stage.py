"""The frame of a stage's activity: begin, work, record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from imagery.contracts import BlobRef, JsonObject, Outcome, Stage, StageInput, StageOutcome
from imagery.database.circuits import CircuitOpenError
from imagery.database.stages import Begun
from imagery.database.tables import utc_now
from imagery.services import Services, get_services
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import Kind, Span, run_span_id, span

Work = Callable[[Services, StageInput, Begun], StageOutcome]


class TransientStageError(Exception):
    """The attempt failed in a way that a retry may cure; the durable retry policy decides."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")


def run_stage(message: JsonObject, stage: Stage, work: Work) -> JsonObject:
    """Do ``work`` for a stage unless its result is there already or the job must not go on."""
    order = StageInput.from_json(message)
    orchestration = run_span_id(order.job_id, order.run)
    with (
        log_context(job_id=order.job_id, stage=stage.value),
        span(stage.value, Kind.INTERNAL, order.job_id, parent_id=orchestration, stage=stage.value) as attempt,
    ):
        outcome = _run(order, stage, work, attempt)
        attempt.set(outcome=outcome.outcome.value)
        if outcome.error_code is not None:
            attempt.failed(outcome.error_code)
        return outcome.to_json()


def _run(order: StageInput, stage: Stage, work: Work, attempt: Span) -> StageOutcome:
    services = get_services()
    begun = services.stages.begin(order.job_id, order.run, stage, order.deadline)
    if begun is None:
        return StageOutcome(stage=stage, outcome=Outcome.CANCELLED)
    attempt.set(run=order.run, attempt=begun.attempt)
    if begun.output is not None and services.storage.exists(begun.output):
        return succeeded(stage, begun.output)
    if utc_now() >= order.deadline:
        return failed(services, order, "deadline_exceeded", "The job's deadline passed before this stage.")
    try:
        return work(services, order, begun)
    except TransientStageError:
        raise
    except Exception as error:
        # whatever it was, the row must tell why the job stands still while the retry is awaited
        services.stages.wait(order.job_id, stage, "internal_error", _without_internals(error))
        raise


def succeeded(stage: Stage, output: BlobRef, cost_usd: float = 0.0) -> StageOutcome:
    """The stage's result stands at ``output``."""
    return StageOutcome(stage=stage, outcome=Outcome.SUCCEEDED, output=output, cost_usd=cost_usd)


def failed(services: Services, order: StageInput, code: str, message: str) -> StageOutcome:
    """Record a failure that no retry will cure."""
    services.stages.fail(order.job_id, order.stage, code, message)
    return StageOutcome(stage=order.stage, outcome=Outcome.FAILED, error_code=code, message=message)


def rejected(services: Services, order: StageInput, code: str, message: str) -> StageOutcome:
    """Record that the input itself was rejected."""
    services.stages.reject(order.job_id, order.stage, code, message)
    return StageOutcome(stage=order.stage, outcome=Outcome.REJECTED, error_code=code, message=message)


def retry_later(
    services: Services, order: StageInput, code: str, message: str, after_s: float
) -> StageOutcome:
    """Record that the stage waits ``after_s`` seconds because it was told to."""
    until = utc_now() + timedelta(seconds=after_s)
    services.stages.wait(order.job_id, order.stage, code, message, until)
    return StageOutcome(
        stage=order.stage,
        outcome=Outcome.RETRY_LATER,
        error_code=code,
        message=message,
        retry_after_s=after_s,
    )


def circuit_open(services: Services, order: StageInput, error: CircuitOpenError) -> StageOutcome:
    """Record that the stage waits for a dependency which nobody calls now."""
    return retry_later(services, order, error.code, str(error), error.wait_s)


def transient(services: Services, order: StageInput, code: str, message: str) -> TransientStageError:
    """Record a failure that the retry policy will repeat; the caller raises what comes back."""
    services.stages.wait(order.job_id, order.stage, code, message)
    return TransientStageError(code, message)


def _without_internals(error: Exception) -> str:
    return f"An unexpected {type(error).__name__} interrupted this stage."
