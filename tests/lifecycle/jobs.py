"""Jobs in a wanted state."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from imagery.contracts import JOBS, UPLOADS, BlobRef, JobRequest, JobState, Stage, stage_output
from imagery.database.tables import Batch, ImageJob, utc_now
from imagery.services import Services
from lifecycle.instances import instance_id_of


def make_job(services: Services, *, deadline: timedelta = timedelta(hours=1), **more: Any) -> ImageJob:
    job_id = str(uuid.uuid4())
    source = more.pop("source", None) or BlobRef(container=UPLOADS, name=job_id, etag="1")
    request = JobRequest(job_id=job_id, source=source, owner_id=more.pop("owner_id", "me"), **more)
    job, _ = services.jobs.create(
        request, instance_id=instance_id_of(job_id, 1), deadline=utc_now() + deadline
    )
    return job


def make_batch(services: Services, size: int) -> tuple[str, list[ImageJob]]:
    batch = Batch(batch_id=str(uuid.uuid4()), owner_id="me", items=size, refused=[])
    services.batches.create(batch)
    return batch.batch_id, [make_job(services, batch_id=batch.batch_id) for _ in range(size)]


def begin(services: Services, job: ImageJob, stage: Stage = Stage.GUARDRAIL) -> None:
    assert services.stages.begin(job.job_id, job.run, stage) is not None


def complete(services: Services, job: ImageJob) -> None:
    """Every stage done, with a small blob for each."""
    for stage in Stage:
        begin(services, job, stage)
        output = services.storage.write(stage_output(job.job_id, stage), b"picture", "image/png")
        services.stages.succeed(job.job_id, stage, output)
    services.jobs.finish(job.job_id, job.run, JobState.COMPLETED)


def now(services: Services, job: ImageJob) -> ImageJob:
    """The job as it is now."""
    found = services.jobs.get(job.job_id)
    assert found is not None
    return found


def state(services: Services, job: ImageJob) -> tuple[str, str | None]:
    found = now(services, job)
    return found.state, found.error_code


def age(services: Services, job: ImageJob, days: float) -> None:
    """Let the job have ended ``days`` ago."""
    with services.database.write() as session:
        row = session.get(ImageJob, job.job_id)
        assert row is not None
        row.finished_at = utc_now() - timedelta(days=days)


def blobs(services: Services, job: ImageJob) -> list[str]:
    return [ref.name for ref in services.storage.list(JOBS, f"{job.job_id}/")]
