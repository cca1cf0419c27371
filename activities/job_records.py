"""The last step of every job: its final state, in SQL."""

from __future__ import annotations

from imagery.contracts import FinishInput, JobState, JobSummary, JsonObject, Stage
from imagery.database.callbacks import delivery_id
from imagery.database.tables import ImageJob, utc_now
from imagery.services import get_services
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import Kind, record_span, run_span_id, span, start_span_id

_ENDED_WAITING = {"deadline_exceeded", "too_many_waits"}
_DEFAULT_CODE = "stage_failed"
_DEFAULT_MESSAGE = "The stage failed and its retries are used up."


def finish_job(message: JsonObject) -> JsonObject:
    """Activity that ends a job; a job that has ended already stays as it is."""
    order = FinishInput.from_json(message)
    orchestration = run_span_id(order.job_id, order.run)
    with (
        log_context(job_id=order.job_id, stage=order.stage.value if order.stage else None),
        span("finish_job", Kind.INTERNAL, order.job_id, parent_id=orchestration, run=order.run),
    ):
        return _finish(order).to_json()


def _finish(order: FinishInput) -> JobSummary:
    jobs = get_services().jobs
    view = jobs.view(order.job_id)
    code, text = order.error_code, order.message
    row = next((row for row in view.stages if row.stage == order.stage), None) if view else None
    if code in _ENDED_WAITING and row is not None and row.error_message:
        text = f"{text} It waited because of: {row.error_message}"
    if order.state is JobState.FAILED and code is None:
        code = (row.error_code if row else None) or _DEFAULT_CODE
        text = (row.error_message if row else None) or text or _DEFAULT_MESSAGE
    job = jobs.finish(order.job_id, order.run, order.state, stage=order.stage, error_code=code, message=text)
    if job is None:
        raise LookupError(f"there is no job {order.job_id}")
    _record_orchestration(job, order.run)
    return JobSummary(
        job_id=job.job_id,
        state=JobState(job.state),
        stage=Stage(job.stage) if job.stage else None,
        error_code=job.error_code,
        delivery_id=delivery_id(job.job_id, job.run) if job.callback_url else None,
    )


def _record_orchestration(job: ImageJob, run: int) -> None:
    """The orchestration's span, here because orchestrator code is replayed."""
    if job.run != run:
        return
    # a later run's deadline was set when it began
    begun = job.created_at if run == 1 else job.deadline - get_services().settings.job_deadline
    # the request that made a batch is not one job's
    is_of_batch = job.batch_id is not None and run == 1
    record_span(
        "image_pipeline",
        Kind.SERVER,
        job.job_id,
        span_id=run_span_id(job.job_id, run),
        parent_id=None if is_of_batch else start_span_id(job.job_id, run),
        started=begun,
        ended=utc_now(),
        error_code=job.error_code,
        run=run,
        state=job.state,
        stage=job.stage,
    )
