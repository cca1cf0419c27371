"""What stands still is repaired, or ends with a reason."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from imagery.contracts import BatchInput, JobState, Stage
from imagery.database.tables import Batch
from imagery.services import Services
from lifecycle.batch_starter import cancel_batch
from lifecycle.instances import batch_instance_id
from lifecycle.reconciler import reconcile
from tests.lifecycle.durable import Durable
from tests.lifecycle.jobs import begin, make_batch, make_job, now, state

LATE = -timedelta(seconds=1)


def tick(durable: Durable) -> int:
    return asyncio.run(reconcile(durable.client))


def ordered_ids(durable: Durable) -> list[list[str]]:
    """The instances that each start of a batch was given."""
    orders = [BatchInput.from_json(given) for name, _, given in durable.started if name == "batch"]
    return [[item.instance_id for item in order.pipelines] for order in orders]


def test_a_job_whose_orchestration_is_gone_is_started_again(services: Services, durable: Durable) -> None:
    job = make_job(services)
    begin(services, job, Stage.REMBG)
    assert tick(durable) == 1
    assert durable.started_ids() == [job.instance_id]
    assert now(services, job).restarts == 1
    assert tick(durable) == 0, "it is alive now"


@pytest.mark.parametrize("ended", ["Completed", "Failed", "ContinuedAsNew"])
def test_an_orchestration_that_ended_without_a_result_is_started_again_a_few_times(
    services: Services, durable: Durable, ended: str
) -> None:
    job = make_job(services)
    for _ in range(3):
        assert state(services, job) == (JobState.QUEUED, None)
        durable.instances[job.instance_id] = ended
        assert tick(durable) == 1
    assert state(services, job) == (JobState.FAILED, "restarts_exhausted")
    assert durable.started_ids() == [job.instance_id] * 2
    assert tick(durable) == 0


@pytest.mark.parametrize("ended", ["Terminated", "Canceled"])
def test_an_orchestration_that_was_ended_by_hand_is_not_started_again(
    services: Services, durable: Durable, ended: str
) -> None:
    job = make_job(services)
    durable.instances[job.instance_id] = ended
    assert tick(durable) == 1
    assert state(services, job) == (JobState.FAILED, "orchestration_terminated")
    assert durable.started == []


@pytest.mark.parametrize("alive", ["Pending", "Running", "Suspended"])
def test_what_is_alive_waits_until_its_deadline_and_is_terminated_then(
    services: Services, durable: Durable, alive: str
) -> None:
    in_time, late = make_job(services), make_job(services, deadline=LATE)
    durable.instances = {in_time.instance_id: alive, late.instance_id: alive}
    assert tick(durable) == 1
    assert state(services, in_time) == (JobState.QUEUED, None)
    assert state(services, late) == (JobState.FAILED, "deadline_exceeded")
    assert durable.instances == {in_time.instance_id: alive, late.instance_id: "Terminated"}


def test_a_job_that_can_not_be_asked_for_does_not_hide_the_others(
    services: Services, durable: Durable
) -> None:
    broken, lost = make_job(services), make_job(services)
    durable.instances[broken.instance_id] = "no such status"
    assert tick(durable) == 1
    assert durable.started_ids() == [lost.instance_id]


def test_a_lost_batch_goes_on_with_what_is_open(services: Services, durable: Durable) -> None:
    batch_id, jobs = make_batch(services, 6)
    services.jobs.finish(jobs[0].job_id, 1, JobState.COMPLETED)
    begin(services, jobs[2], Stage.REMBG)
    durable.instances[jobs[1].instance_id] = "Running"
    assert tick(durable) == 1
    assert [started[:2] for started in durable.started] == [("batch", batch_instance_id(batch_id))]
    assert ordered_ids(durable) == [[jobs[n].instance_id for n in (2, 3, 4, 5)]]
    assert BatchInput.from_json(durable.started[0][2]).parallel == 2
    assert [now(services, job).restarts for job in jobs] == [0, 0, 1, 1, 1, 1]


def test_the_items_of_a_batch_wait_for_their_turn(services: Services, durable: Durable) -> None:
    batch_id, jobs = make_batch(services, 5)
    durable.instances = {batch_instance_id(batch_id): "Running", jobs[0].instance_id: "Running"}
    assert tick(durable) == 0
    assert durable.started == []
    durable.instances[jobs[0].instance_id] = "Failed"
    assert tick(durable) == 1, "its turn has been, and it broke before it began"
    assert durable.started_ids() == [jobs[0].instance_id]


def test_a_batch_that_is_lost_again_and_again_fails_its_open_items(
    services: Services, durable: Durable
) -> None:
    batch_id, jobs = make_batch(services, 3)
    for _ in range(2):
        assert tick(durable) == 1
        durable.instances[batch_instance_id(batch_id)] = "Failed"
    assert tick(durable) == 3
    assert {state(services, job) for job in jobs} == {(JobState.FAILED, "restarts_exhausted")}


def test_a_batch_that_was_ended_by_hand_starts_no_more_items(services: Services, durable: Durable) -> None:
    batch_id, jobs = make_batch(services, 3)
    durable.instances = {batch_instance_id(batch_id): "Terminated", jobs[0].instance_id: "Running"}
    assert tick(durable) == 2
    assert state(services, jobs[0]) == (JobState.QUEUED, None), "this one still runs"
    assert {state(services, job) for job in jobs[1:]} == {(JobState.FAILED, "orchestration_terminated")}


def test_a_batch_whose_request_is_under_way_is_left_alone(services: Services, durable: Durable) -> None:
    batch_id, jobs = make_batch(services, 2)
    with services.database.write() as session:
        row = session.get(Batch, batch_id)
        assert row is not None
        row.items = 3
    assert tick(durable) == 0
    with services.database.write() as session:
        row = session.get(Batch, batch_id)
        assert row is not None
        row.created_at -= timedelta(minutes=5)
    assert tick(durable) == 1
    assert ordered_ids(durable) == [[job.instance_id for job in jobs]]


def test_a_job_that_a_batch_took_in_and_a_retry_run_by_themselves(
    services: Services, durable: Durable
) -> None:
    uploaded = make_job(services)
    batch_id, [item] = make_batch(services, 1)
    assert services.jobs.adopt([uploaded.job_id], batch_id) == {uploaded.job_id}
    services.jobs.cancel(item.job_id)
    again = services.jobs.begin_run(
        item.job_id, instance_id="second-run", run=2, deadline=now(services, item).deadline
    )
    assert again is not None
    durable.instances[batch_instance_id(batch_id)] = "Running"
    assert tick(durable) == 2
    assert sorted(durable.started_ids()) == sorted([uploaded.instance_id, "second-run"])


def test_a_cancelled_batch_starts_nothing_and_pays_nothing(services: Services, durable: Durable) -> None:
    batch_id, jobs = make_batch(services, 4)
    services.jobs.finish(jobs[0].job_id, 1, JobState.COMPLETED)
    begin(services, jobs[1])
    durable.instances = {batch_instance_id(batch_id): "Running", jobs[1].instance_id: "Running"}
    for _ in range(2):
        assert asyncio.run(cancel_batch(durable.client, batch_id)) is not None
        assert state(services, jobs[0]) == (JobState.COMPLETED, None)
        assert {state(services, job) for job in jobs[1:]} == {(JobState.CANCELLED, "cancelled")}
        assert set(durable.instances.values()) == {"Terminated"}
    assert all(services.stages.begin(job.job_id, 1, Stage.NANO_BANANA) is None for job in jobs)
    assert tick(durable) == 0


def test_a_cancel_that_died_in_the_middle_is_finished(services: Services, durable: Durable) -> None:
    uploaded = make_job(services)
    batch_id, jobs = make_batch(services, 3)
    assert services.jobs.adopt([uploaded.job_id], batch_id) == {uploaded.job_id}
    begin(services, jobs[0])
    durable.instances = {batch_instance_id(batch_id): "Running", jobs[0].instance_id: "Running"}
    services.batches.cancel(batch_id)
    jobs.append(uploaded)
    assert tick(durable) == 4
    assert {state(services, job) for job in jobs} == {(JobState.CANCELLED, "cancelled")}
    assert durable.instances[jobs[0].instance_id] == "Terminated"
    assert durable.started == []
