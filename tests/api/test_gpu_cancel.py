"""A cancel reaches the GPU service where it works on the job, and wakes none that sleeps."""

from __future__ import annotations

import asyncio

from api.app import create_app
from api.durable import with_client
from imagery.contracts import GpuTicket, JobState, Stage
from imagery.database.tables import ImageJob, utc_now
from imagery.principal import Role
from imagery.services import get_services
from lifecycle.batch_starter import cancel_batch
from testbed.scripted_gpu import ScriptedGpu, scripted_gpu
from tests.api.test_app import call
from tests.api.test_idle_gpu import key_of
from tests.lifecycle.durable import Durable
from tests.lifecycle.jobs import begin, make_batch, make_job, state

__all__ = ["scripted_gpu"]


def at_gpu(job: ImageJob, number: int = 1) -> None:
    """The GPU works on the job between two looks."""
    begin(get_services(), job, Stage.REALESRGAN)
    ticket = GpuTicket(work_id="w", cookie=f"acaAffinity=r{number}")
    get_services().stages.go_on(job.job_id, Stage.REALESRGAN, ticket, utc_now())


def cancel(job: ImageJob) -> None:
    with with_client(Durable().client):
        path = f"/api/v1/jobs/{job.job_id}/cancel"
        answer = call(create_app(), "POST", path, headers={"X-API-Key": key_of(Role.ADMIN)})
    assert answer.json()["state"] == JobState.CANCELLED


def told(gpu: ScriptedGpu) -> list[tuple[str, str, str | None]]:
    return [(asked.method, asked.path, asked.headers.get("cookie")) for asked in gpu.asked]


def test_a_cancelled_job_is_cancelled_at_the_replica_that_works_on_it(scripted_gpu: ScriptedGpu) -> None:
    job = make_job(get_services())
    at_gpu(job)
    cancel(job)
    assert told(scripted_gpu) == [("DELETE", f"/v1/jobs/{job.job_id}", "acaAffinity=r1")]


def test_the_gpu_is_not_woken_for_a_job_that_is_not_there(scripted_gpu: ScriptedGpu) -> None:
    services = get_services()
    queued, examined, waiting = (make_job(services) for _ in range(3))
    begin(services, examined)
    begin(services, waiting, Stage.REMBG)
    services.stages.wait(waiting.job_id, Stage.REMBG, "gpu_starting", "It starts.", utc_now(), tried=False)
    for job in (queued, examined, waiting):
        cancel(job)
    assert told(scripted_gpu) == []


def test_a_service_that_is_gone_does_not_keep_a_job_from_its_cancel(scripted_gpu: ScriptedGpu) -> None:
    job = make_job(get_services())
    at_gpu(job)
    scripted_gpu.stop()
    cancel(job)


def test_a_cancelled_batch_is_cancelled_at_the_gpu_too(scripted_gpu: ScriptedGpu) -> None:
    services = get_services()
    batch_id, jobs = make_batch(services, 4)
    for number, job in enumerate(jobs[:2]):
        at_gpu(job, number)
    begin(services, jobs[2])
    assert asyncio.run(cancel_batch(Durable().client, batch_id)) is not None
    assert {state(services, job)[0] for job in jobs} == {JobState.CANCELLED}
    assert sorted(told(scripted_gpu)) == sorted(
        ("DELETE", f"/v1/jobs/{job.job_id}", f"acaAffinity=r{number}") for number, job in enumerate(jobs[:2])
    )
