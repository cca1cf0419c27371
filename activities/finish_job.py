"""The last step of every job: its final state, in SQL."""

from __future__ import annotations

from imagery.contracts import FinishInput, JobState, JobSummary, JsonObject, Stage, StageState
from imagery.database.callbacks import delivery_id
from imagery.database.tables import StageRun, utc_now
from imagery.reporting.run_span import record_run
from imagery.services import get_services
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import SpanType, run_span_id, span

_ENDED_WAITING = {"deadline_exceeded", "too_many_waits"}
_DEFAULT_CODE = "stage_failed"
_DEFAULT_MESSAGE = "The stage failed and its retries are used up."


def finish_job(message: JsonObject) -> JsonObject:
    """Activity that ends a job; a job that has ended already stays as it is."""
    order = FinishInput.from_json(message)
    orchestration = run_span_id(order.job_id, order.run)
    with (
        log_context(job_id=order.job_id, stage=order.stage.value if order.stage else None),
        span("finish_job", SpanType.INTERNAL, order.job_id, parent_id=orchestration, run=order.run),
    ):
        return _finish(order).to_json()


def _interrupted(row: StageRun) -> str:
    begun = f"{(utc_now() - row.started_at).total_seconds():.0f} s ago" if row.started_at else "earlier"
    return (
        f"The stage's last attempt began {begun} and never came to an end: it ran into the host's time-out "
        "(functionTimeout), or its process died. Its retries are used up. Retry the job to try again."
    )


def _finish(order: FinishInput) -> JobSummary:
    jobs = get_services().jobs
    view = jobs.view(order.job_id)
    code, text = order.error_code, order.message
    row = next((row for row in view.stages if row.stage == order.stage), None) if view else None
    if code in _ENDED_WAITING and row is not None and row.error_message and row.error_message != text:
        text = f"{text} It waited because of: {row.error_message}"
    if (
        order.state is JobState.FAILED
        and code is None
        and row is not None
        and row.state == StageState.RUNNING
    ):
        # nobody has recorded an end: the host cut the attempt off, or its process died
        code, text = "stage_interrupted", _interrupted(row)
    if order.state is JobState.FAILED and code is None:
        code = (row.error_code if row else None) or _DEFAULT_CODE
        text = (row.error_message if row else None) or text or _DEFAULT_MESSAGE
    job = jobs.finish(order.job_id, order.run, order.state, stage=order.stage, error_code=code, message=text)
    if job is None:
        raise LookupError(f"there is no job {order.job_id}")
    record_run(job, order.run, get_services().settings.job_deadline)
    return JobSummary(
        job_id=job.job_id,
        state=JobState(job.state),
        stage=Stage(job.stage) if job.stage else None,
        error_code=job.error_code,
        delivery_id=delivery_id(job.job_id, job.run) if job.callback_url else None,
    )
