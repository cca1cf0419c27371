"""The only door into the pipeline: a row first, then the orchestration, so that nothing is lost between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import azure.durable_functions as df

from imagery.contracts import CallbackInput, JobOptions, JobOutput, JobRequest, JobState, PipelineInput
from imagery.database.new_jobs import JobOrder
from imagery.database.quotas import QuotaExceededError
from imagery.database.tables import ImageJob, utc_now
from imagery.retry import MAX_WAITS, RetryRules
from imagery.services import get_services
from imagery.settings import Settings
from imagery.telemetry.logs import get_logger
from imagery.telemetry.tracing import job_started
from lifecycle.instances import callback_instance_id, instance_id_of
from lifecycle.takeover import taken_by

_log = get_logger(__name__)


def pipeline_input(job: ImageJob, settings: Settings) -> PipelineInput:
    """Everything the orchestrator decides by, taken from the settings now."""
    rules = RetryRules.of(settings)
    output = JobOptions.from_json(job.options).output
    return PipelineInput(
        job_id=job.job_id,
        run=job.run,
        deadline=job.deadline,
        gpu_retry=rules.gpu,
        nano_banana_retry=rules.nano_banana,
        records_retry=rules.records,
        max_waits=MAX_WAITS,
        stages=None if output is JobOutput.SCENE else output.stages,
    )


async def submit(client: df.DurableOrchestrationClient, request: JobRequest) -> tuple[ImageJob, bool]:
    """Create the job and start it; a job that exists is returned as it is (False).

    If the orchestration can't be started now the job stays QUEUED, and the reconciler starts it.
    Raises ``QuotaExceededError``.
    """
    job, created = await asyncio.to_thread(create, request)
    if created:
        await _start(client, job)
    elif not job.request_hash:
        await asyncio.to_thread(get_services().jobs.name, job.job_id, request.request_hash)
    return job, created


async def submit_upload(client: df.DurableOrchestrationClient, request: JobRequest) -> tuple[ImageJob, bool]:
    """``submit`` without a caller who waits: an upload over its owner's quota becomes a failed job."""
    try:
        job, created = await asyncio.to_thread(create, request)
    except QuotaExceededError as error:
        return await asyncio.to_thread(refuse, request, JobState.FAILED, error.code, str(error)), True
    # a request may have named it at the same moment
    if created and not await asyncio.to_thread(get_services().jobs.give_way, job.job_id):
        await _start(client, job)
    return job, created


async def _start(client: df.DurableOrchestrationClient, job: ImageJob) -> None:
    job_started(job.job_id, job.run, job.created_at)
    await try_start(client, job)


def create(request: JobRequest) -> tuple[ImageJob, bool]:
    """Write the job's row without starting it. Raises ``QuotaExceededError``."""
    services = get_services()
    order = order_of(request)
    return services.jobs.create(
        request,
        instance_id=order.instance_id,
        deadline=order.deadline,
        quotas=services.quotas,
        takes=order.takes,
    )


def order_of(request: JobRequest) -> JobOrder:
    """The row that is wanted for ``request``."""
    return orders_of([request], [1])[0]


def orders_of(requests: Sequence[JobRequest], turns: Sequence[int]) -> list[JobOrder]:
    """The rows of many: each has time for so many jobs as ``turns`` says, the last of them itself."""
    now, deadline = utc_now(), get_services().settings.job_deadline
    return [
        JobOrder(
            request,
            instance_id=instance_id_of(request.job_id, 1),
            deadline=now + turn * deadline,
            takes=takes,
        )
        for request, turn, takes in zip(requests, turns, taken_by(requests), strict=True)
    ]


def refuse(request: JobRequest, state: JobState, code: str, message: str) -> ImageJob:
    """Write the row of a job that ends before it begins, so that its owner learns why."""
    services = get_services()
    job, created = services.jobs.create(
        request, instance_id=instance_id_of(request.job_id, 1), deadline=_deadline(services.settings)
    )
    if not created:
        return job
    ended = services.jobs.finish(job.job_id, job.run, state, error_code=code, message=message)
    return ended or job


async def try_start(client: df.DurableOrchestrationClient, job: ImageJob) -> bool:
    """Start the job's orchestration; False, and a log line, when the durable backend does not take it."""
    message = pipeline_input(job, get_services().settings).to_json()
    try:
        await client.start_new("image_pipeline", job.instance_id, message)
    except Exception as error:
        _log.warning("start_deferred", job_id=job.job_id, error=str(error))
        return False
    return True


async def rerun(client: df.DurableOrchestrationClient, job: ImageJob) -> ImageJob | None:
    """Run an ended job again from its failed stage; None when it may not (any more).

    Raises ``QuotaExceededError``.
    """
    services = get_services()
    run = job.run + 1
    queued = await asyncio.to_thread(
        services.jobs.begin_run,
        job.job_id,
        instance_id=instance_id_of(job.job_id, run),
        run=run,
        deadline=_deadline(services.settings),
        quotas=services.quotas,
    )
    if queued is not None:
        job_started(queued.job_id, queued.run, queued.updated_at)
        await try_start(client, queued)
    return queued


async def start_callback(client: df.DurableOrchestrationClient, delivery: str) -> bool:
    """Start the orchestration that delivers a callback; False when the durable backend does not take it."""
    settings = get_services().settings
    message = CallbackInput(
        delivery_id=delivery,
        max_attempts=settings.callbacks.retry.attempts,
        records_retry=RetryRules.of(settings).records,
    )
    try:
        await client.start_new("callback", callback_instance_id(delivery), message.to_json())
    except Exception as error:
        _log.warning("start_deferred", delivery_id=delivery, error=str(error))
        return False
    return True


def _deadline(settings: Settings) -> datetime:
    return utc_now() + settings.job_deadline
