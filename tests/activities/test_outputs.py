"""Jobs without a scene: nothing is reserved or paid, and the paid provider is not waited for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from activities.place import place
from activities.remove_background import remove_background
from activities.upscale import upscale
from imagery.contracts import JobOptions, JobOutput, JobState, Stage, StageInput, StageOutcome, stage_output
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.savings import avoided
from imagery.database.tables import ImageJob, SpendEntry, utc_now
from imagery.services import Services, get_services
from lifecycle.starter import pipeline_input
from testbed.scripted_gpu import ScriptedGpu, scripted_gpu
from tests.lifecycle.jobs import begin, make_job

__all__ = ["scripted_gpu"]

FREE = [output for output in JobOutput if not output.has_scene]
GPU = {Stage.REMBG: remove_background, Stage.REALESRGAN: upscale}


def admitted(output: JobOutput) -> ImageJob:
    """A job whose photo the guardrail has admitted."""
    services = get_services()
    job = make_job(services, options=JobOptions(output=output))
    begin(services, job)
    target = stage_output(job.job_id, Stage.GUARDRAIL)
    services.stages.succeed(job.job_id, Stage.GUARDRAIL, target, content_hash="the same photo")
    return job


def message(job: ImageJob, stage: Stage) -> StageInput:
    return StageInput(job_id=job.job_id, run=1, stage=stage, deadline=utc_now() + timedelta(hours=1))


def test_only_the_scene_is_paid() -> None:
    assert [output for output in JobOutput if Stage.NANO_BANANA in output.stages] == [JobOutput.SCENE]
    assert all(output.stages[0] is Stage.GUARDRAIL for output in JobOutput), "nothing goes unexamined"


def test_the_orchestration_is_told_which_stages_run(services: Services) -> None:
    told = {
        output: pipeline_input(
            make_job(services, options=JobOptions(output=output)), services.settings
        ).stages
        for output in JobOutput
    }
    assert told.pop(JobOutput.SCENE) is None, "as in the messages of earlier versions"
    assert told == {output: output.stages for output in FREE}


@pytest.mark.parametrize("output", FREE)
def test_it_runs_while_the_paid_provider_is_out_of_service(
    scripted_gpu: ScriptedGpu, output: JobOutput
) -> None:
    circuits = get_services().circuits
    with circuits.call(GuardedDependency.NANO_BANANA, lease_s=60, seed="x") as call:
        call.hold("nano_banana_forbidden")
    assert circuits.recent(GuardedDependency.NANO_BANANA).state is not CircuitState.CLOSED
    waiting = admitted(JobOutput.SCENE)
    assert remove_background(message(waiting, Stage.REMBG).to_json())["outcome"] == StageOutcome.RETRY_LATER
    assert scripted_gpu.asked == []
    job = admitted(output)
    for stage in output.stages[1:]:
        done = GPU[stage](message(job, stage).to_json())
        assert done["outcome"] == StageOutcome.SUCCEEDED
    assert len(scripted_gpu.asked) == len(output.stages) - 1


@pytest.mark.parametrize(
    ("output", "source"),
    [
        (JobOutput.SCENE, Stage.REMBG),
        (JobOutput.UPSCALED_CUTOUT, Stage.REMBG),
        (JobOutput.UPSCALED, Stage.GUARDRAIL),
    ],
)
def test_4x_alone_reads_the_photo_and_not_its_cutout(
    scripted_gpu: ScriptedGpu, output: JobOutput, source: Stage
) -> None:
    job = admitted(output)
    assert upscale(message(job, Stage.REALESRGAN).to_json())["outcome"] == StageOutcome.SUCCEEDED
    (asked,) = scripted_gpu.bodies
    assert asked["source"]["name"] == stage_output(job.job_id, source).name


def test_results_are_shared_with_jobs_that_made_them_in_the_same_way(services: Services) -> None:
    keys = {
        output: {
            stage: services.stage_cache.key(_now(admitted(output)), stage)
            for stage in (*GPU, Stage.NANO_BANANA)
        }
        for output in JobOutput
    }
    whole = keys[JobOutput.SCENE]
    assert keys[JobOutput.UPSCALED_CUTOUT] == {**whole, Stage.NANO_BANANA: None}
    assert keys[JobOutput.CUTOUT] == {**whole, Stage.REALESRGAN: None, Stage.NANO_BANANA: None}
    alone = keys[JobOutput.UPSCALED]
    assert (alone[Stage.REMBG], alone[Stage.NANO_BANANA]) == (None, None)
    assert alone[Stage.REALESRGAN] not in {None, whole[Stage.REALESRGAN]}, "another picture goes in"


@pytest.mark.parametrize("output", FREE)
def test_the_paid_stage_pays_nothing_for_it_whoever_calls_it(services: Services, output: JobOutput) -> None:
    """An instance of the version before runs every stage, and knows ``max_usd`` alone."""
    job = admitted(output)
    assert JobOptions.from_json(_now(job).options).max_usd == 0
    done = place(message(job, Stage.NANO_BANANA).to_json())
    assert (done["outcome"], done["error_code"]) == (StageOutcome.FAILED, "no_scene")
    with services.database.read() as session:
        assert session.exec(select(SpendEntry)).all() == []


@pytest.mark.parametrize(("output", "saved"), [(JobOutput.SCENE, ["failed"]), (JobOutput.CUTOUT, [])])
def test_money_that_was_never_wanted_is_not_counted_as_saved(
    services: Services, output: JobOutput, saved: list[str]
) -> None:
    job = admitted(output)
    services.jobs.finish(job.job_id, 1, JobState.FAILED, stage=Stage.GUARDRAIL, error_code="x")
    with services.database.read() as session:
        assert [each.reason for each in avoided(session, None)] == saved


def _now(job: ImageJob) -> ImageJob:
    found = get_services().jobs.get(job.job_id)
    assert found is not None
    return found
