"""One image through all stages. A stage that fails ends the job: the paid stage is then out of reach."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import azure.durable_functions as df

from imagery.contracts import (
    CallbackOrder,
    FinishInput,
    JobState,
    JobSummary,
    PipelineInput,
    PipelineStatus,
    RetryPolicy,
    Stage,
    StageInput,
    StageOutcome,
    StageResult,
)
from orchestrators.retry import ExponentialRetryOptions

Steps = Generator[Any, Any, Any]


class PipelineStep(NamedTuple):
    """A stage and the activity that does it."""

    stage: Stage
    activity: str


STEPS = (
    PipelineStep(Stage.GUARDRAIL, "guardrail"),
    PipelineStep(Stage.REMBG, "remove_background"),
    PipelineStep(Stage.REALESRGAN, "upscale"),
    PipelineStep(Stage.NANO_BANANA, "place"),
)


def image_pipeline(context: df.DurableOrchestrationContext) -> Steps:
    """Input ``PipelineInput``, output ``JobSummary``, custom status ``PipelineStatus``."""
    pipeline = PipelineInput.from_json(context.get_input())
    for step in _chosen(pipeline):
        result = yield from _run_step(context, pipeline, step)
        if result.outcome is not StageOutcome.SUCCEEDED:
            return (yield from _finish(context, pipeline, _end_state(result), result))
    return (yield from _finish(context, pipeline, JobState.COMPLETED, None))


def _chosen(pipeline: PipelineInput) -> list[PipelineStep]:
    """The steps of the job, in the order of ``STEPS``."""
    return [step for step in STEPS if pipeline.stages is None or step.stage in pipeline.stages]


def _run_step(
    context: df.DurableOrchestrationContext, pipeline: PipelineInput, step: PipelineStep
) -> Generator[Any, Any, StageResult]:
    """Run a stage, waiting on durable timers as often as the stage asks for it, within bounds."""
    options = ExponentialRetryOptions(
        _policy(pipeline, step.stage), f"{context.instance_id}/{step.stage.value}"
    )
    for waits in range(pipeline.max_waits + 1):
        if context.current_utc_datetime >= pipeline.deadline:
            return _failed(step.stage, "deadline_exceeded", "The job's deadline has passed.")
        message = StageInput(
            job_id=pipeline.job_id,
            run=pipeline.run,
            stage=step.stage,
            deadline=pipeline.deadline,
            waits=waits,
        ).to_json()
        _tell(context, step.stage, "running")
        try:
            answer = yield context.call_activity_with_retry(step.activity, options, message)
        except Exception:
            # the SDK flattens every exception to text; what happened stands in the stage's row
            return StageResult(stage=step.stage, outcome=StageOutcome.FAILED)
        result = StageResult.from_json(answer)
        if result.outcome is not StageOutcome.RETRY_LATER:
            return result
        wait = timedelta(seconds=result.retry_after_s or 0.0)
        until = min(context.current_utc_datetime + wait, pipeline.deadline)
        _tell(context, step.stage, f"waiting: {result.error_code}", until)
        yield context.create_timer(until)
    return _failed(step.stage, "too_many_waits", "The stage was asked to wait too often.")


def _policy(pipeline: PipelineInput, stage: Stage) -> RetryPolicy:
    policies = {
        Stage.GUARDRAIL: pipeline.records_retry,
        Stage.REMBG: pipeline.gpu_retry,
        Stage.REALESRGAN: pipeline.gpu_retry,
        Stage.NANO_BANANA: pipeline.nano_banana_retry,
    }
    return policies[stage]


def _end_state(result: StageResult) -> JobState:
    if result.outcome is StageOutcome.CANCELLED:
        return JobState.CANCELLED
    if result.outcome is StageOutcome.REJECTED and result.stage is Stage.GUARDRAIL:
        return JobState.REJECTED
    return JobState.FAILED


def _finish(
    context: df.DurableOrchestrationContext,
    pipeline: PipelineInput,
    state: JobState,
    result: StageResult | None,
) -> Steps:
    message = FinishInput(
        job_id=pipeline.job_id,
        run=pipeline.run,
        state=state,
        stage=result.stage if result else None,
        error_code=result.error_code if result else None,
        message=result.message if result else None,
    ).to_json()
    options = ExponentialRetryOptions(pipeline.records_retry, context.instance_id)
    summary = yield context.call_activity_with_retry("finish_job", options, message)
    _tell(context, result.stage if result else None, state.value.lower())
    delivery = JobSummary.from_json(summary).delivery_id
    if delivery is not None:
        yield from _first_callback(context, delivery)
    return summary


def _first_callback(context: df.DurableOrchestrationContext, delivery: str) -> Steps:
    """Call the callback URL at once; further attempts, if it needs any, are an orchestration of their own."""
    try:
        yield context.call_activity("notify", CallbackOrder(delivery_id=delivery).to_json())
    except Exception:
        # the delivery stays due, and the reconciler sends it
        return


def _failed(stage: Stage, code: str, message: str) -> StageResult:
    return StageResult(stage=stage, outcome=StageOutcome.FAILED, error_code=code, message=message)


def _tell(
    context: df.DurableOrchestrationContext, stage: Stage | None, doing: str, until: datetime | None = None
) -> None:
    context.set_custom_status(PipelineStatus(stage=stage, doing=doing, waiting_until=until).to_json())
