"""The span of an orchestration, recorded by the activity that ends the job: orchestrator code is replayed."""

from __future__ import annotations

from datetime import timedelta

from imagery.database.tables import ImageJob, utc_now
from imagery.telemetry.tracing import SpanType, record_span, run_span_id, start_span_id


def record_run(job: ImageJob, run: int, job_deadline: timedelta) -> None:
    """Record that ``run`` of a job has ended now; nothing when the job has gone on to another run."""
    if job.run != run:
        return
    # a later run's deadline was set when it began
    begun = job.created_at if run == 1 else job.deadline - job_deadline
    # the request that made a batch is not one job's
    is_of_batch = job.batch_id is not None and run == 1
    record_span(
        "image_pipeline",
        SpanType.SERVER,
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
