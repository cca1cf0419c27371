"""The last step of a job: what its owner reads."""

from __future__ import annotations

from activities.finish_job import finish_job
from imagery.contracts import FinishInput, JobState, Stage
from imagery.services import Services
from tests.activities.test_place import make_job


def test_a_stage_that_nobody_ended_names_the_hosts_time_out(services: Services) -> None:
    """The host cuts off what passes functionTimeout: no code of ours runs any more."""
    job_id = make_job(services)
    assert services.stages.begin(job_id, 1, Stage.REALESRGAN) is not None
    finish_job(FinishInput(job_id=job_id, run=1, state=JobState.FAILED, stage=Stage.REALESRGAN).to_json())
    job = services.jobs.get(job_id)
    assert job is not None
    assert job.error_code == "stage_interrupted"
    assert "time-out" in str(job.error_message)


def test_a_stage_that_failed_says_why(services: Services) -> None:
    job_id = make_job(services)
    assert services.stages.begin(job_id, 1, Stage.REALESRGAN) is not None
    services.stages.fail(job_id, Stage.REALESRGAN, "gpu_failed", "The device is gone.")
    finish_job(FinishInput(job_id=job_id, run=1, state=JobState.FAILED, stage=Stage.REALESRGAN).to_json())
    job = services.jobs.get(job_id)
    assert job is not None
    assert (job.error_code, job.error_message) == ("gpu_failed", "The device is gone.")
