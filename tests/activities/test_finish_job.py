"""The last step of a job: what its owner reads."""

from __future__ import annotations

from activities.finish_job import finish_job
from activities.place import place
from imagery.contracts import FinishInput, JobState, Stage, StageInput
from imagery.database.tables import utc_now
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


def test_a_deadline_says_what_was_waited_for_whoever_notices_it(services: Services) -> None:
    """The orchestrator sees that it has passed, or else the activity that it has just started."""
    reason = "The GPU service can't be reached."
    for is_in_time in (True, False):
        job_id = make_job(services)
        assert services.stages.begin(job_id, 1, Stage.NANO_BANANA) is not None
        services.stages.wait(job_id, Stage.NANO_BANANA, "gpu_unreachable", reason)
        code, text = "deadline_exceeded", "The job's deadline has passed."
        if is_in_time:
            order = StageInput(job_id=job_id, run=1, stage=Stage.NANO_BANANA, deadline=utc_now())
            answer = place(order.to_json())
            code, text = answer["error_code"], answer["message"]
        finish = FinishInput(
            job_id=job_id,
            run=1,
            state=JobState.FAILED,
            stage=Stage.NANO_BANANA,
            error_code=code,
            message=text,
        )
        finish_job(finish.to_json())
        job = services.jobs.get(job_id)
        assert job is not None
        assert job.error_code == "deadline_exceeded"
        assert str(job.error_message).count("It waited because of") == 1
        assert reason in str(job.error_message)
