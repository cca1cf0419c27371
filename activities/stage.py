"""The frame of a stage's activity: begin, work, record."""

from __future__ import annotations

from collections.abc import Callable

from activities.attempt import Attempt, TransientStageError
from imagery.contracts import JsonObject, Stage, StageInput, StageOutcome, StageResult
from imagery.database.tables import utc_now
from imagery.services import get_services
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import Span, SpanType, run_span_id, span

Work = Callable[[Attempt], StageResult]


def run_stage(message: JsonObject, stage: Stage, work: Work) -> JsonObject:
    """Do ``work`` for a stage unless its result is there already or the job must not go on."""
    order = StageInput.from_json(message)
    orchestration = run_span_id(order.job_id, order.run)
    with (
        log_context(job_id=order.job_id, stage=stage.value),
        span(
            stage.value, SpanType.INTERNAL, order.job_id, parent_id=orchestration, stage=stage.value
        ) as measured,
    ):
        outcome = _run(order, stage, work, measured)
        measured.set(outcome=outcome.outcome.value)
        if outcome.error_code is not None:
            measured.failed(outcome.error_code)
        return outcome.to_json()


def _run(order: StageInput, stage: Stage, work: Work, measured: Span) -> StageResult:
    services = get_services()
    begun = services.stages.begin(order.job_id, order.run, stage, order.deadline)
    if begun is None:
        return StageResult(stage=stage, outcome=StageOutcome.CANCELLED)
    attempt = Attempt(services, order, begun)
    measured.set(run=order.run, attempt=begun.attempt)
    if begun.output is not None and services.storage.exists(begun.output):
        return attempt.stands_at(begun.output)
    if utc_now() >= order.deadline:
        why = f" It waited because of: {begun.waited_for}" if begun.waited_for else ""
        return attempt.fail("deadline_exceeded", f"The job's deadline passed before this stage.{why}")
    try:
        return work(attempt)
    except TransientStageError:
        raise
    except Exception as error:
        # whatever it was, the row must say why the job stands still while the retry is awaited
        text = f"An unexpected {type(error).__name__} interrupted this stage."
        services.stages.wait(order.job_id, stage, "internal_error", text)
        raise
