"""What the fault drill counts as wrong is noticed; ``make drill NAME=faults`` strikes its points."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from drills.faults.harness import LANES
from drills.faults.invariants import ViolationKind
from drills.faults.photos import photo
from drills.faults.points import Point
from drills.faults.run import FaultRun, RunReport
from drills.faults.scenarios import HAPPY
from drills.faults.two_hosts import Size, TwoHosts, TwoHostsOutcome
from drills.faults.verdict import violations
from drills.faults.world import World
from imagery.contracts import JobState, Stage, StageState, paid_answer, stage_output
from imagery.database.money import SpendState

pytestmark = [pytest.mark.stack, pytest.mark.drill]

_SIZE = Size(keyed=4, uploaded=3, rows=2, kills=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What all runs share."""
    with World(tmp_path_factory.mktemp("faults"), LANES) as running:
        yield running


@pytest.fixture(scope="module")
def two_hosts(world: World) -> Iterator[Future[TwoHostsOutcome]]:
    """Two hosts that are killed in turn, beside what else is done: most of it is waiting."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(TwoHosts(world, _SIZE).run)


@pytest.fixture(scope="module")
def happy(world: World, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """A run in which nobody dies and nothing is wrong."""
    folder = tmp_path_factory.mktemp("happy") / "run"
    report = FaultRun(world, world.lanes[0], HAPPY, None, folder).perform()
    assert kinds(world, report) == set()
    return report


@pytest.fixture
def completed(happy: RunReport) -> RunReport:
    """A copy of it, to be spoiled."""
    copy: RunReport = pickle.loads(pickle.dumps(happy))
    return copy


def kinds(world: World, report: RunReport) -> set[ViolationKind]:
    """What is wrong with a run."""
    return {each.kind for each in violations(report, world.site.storage)}


def job_id(report: RunReport) -> str:
    assert report.record is not None
    return report.record.job.job_id


def test_a_second_picture_on_the_bill_is_noticed(world: World, completed: RunReport) -> None:
    picture = base64.b64encode(photo("subject")).decode()
    parts = [{"text": "again"}, {"inlineData": {"mimeType": "image/png", "data": picture}}]
    answer = world.lanes[0].bill.post(
        "/v1beta/models/gemini-3.1-flash-image:generateContent",
        json={"contents": [{"parts": parts}]},
        headers={"x-job-id": job_id(completed), "x-goog-api-key": "simulator"},
    )
    assert answer.status_code == 200
    completed.read_bill(world.lanes[0].bill)
    assert kinds(world, completed) == {ViolationKind.BILLED_TWICE, ViolationKind.LEDGER}


@pytest.mark.parametrize("stage", [Stage.REMBG, Stage.NANO_BANANA])
def test_a_missing_or_damaged_picture_is_noticed(world: World, completed: RunReport, stage: Stage) -> None:
    blob = stage_output(job_id(completed), stage)
    data = world.site.storage.read(blob)
    world.site.storage.write(blob, data[: len(data) // 2], "image/png")
    assert kinds(world, completed) == {ViolationKind.LOST_IMAGE}
    world.site.storage.delete(blob)
    assert kinds(world, completed) == {ViolationKind.LOST_IMAGE}
    world.site.storage.write(blob, data, "image/png")


def test_a_picture_without_our_signature_is_noticed(world: World, completed: RunReport) -> None:
    storage, blob = world.site.storage, stage_output(job_id(completed), Stage.NANO_BANANA)
    data = storage.read(blob)
    storage.write(blob, storage.read(paid_answer(job_id(completed), Stage.NANO_BANANA, 1)), "image/png")
    assert kinds(world, completed) == {ViolationKind.UNSIGNED}
    storage.write(blob, data, "image/png")


def test_what_is_left_running_is_noticed(world: World, completed: RunReport) -> None:
    assert completed.record is not None
    completed.record.stages[0].state = StageState.RUNNING
    assert ViolationKind.STUCK_JOB in kinds(world, completed)
    completed.record.job.state = JobState.RUNNING
    assert ViolationKind.STUCK_JOB in kinds(world, completed)


@pytest.mark.parametrize("state", [SpendState.RELEASED, SpendState.SENT, SpendState.UNKNOWN])
def test_a_ledger_that_differs_from_the_bill_is_noticed(
    world: World, completed: RunReport, state: SpendState
) -> None:
    assert completed.record is not None
    completed.record.spend[0].state = state
    assert kinds(world, completed) == {ViolationKind.LEDGER}


def test_a_wrong_end_is_noticed(world: World, completed: RunReport) -> None:
    assert completed.record is not None
    completed.record.job.state, completed.record.job.error_code = JobState.FAILED, "internal_error"
    assert kinds(world, completed) == {ViolationKind.WRONG_END}


def test_a_point_that_is_never_reached_is_noticed(world: World, tmp_path: Path) -> None:
    never = Point("before_activity", "place", 99)
    report = FaultRun(world, world.lanes[0], HAPPY, never, tmp_path / "run").perform()
    assert kinds(world, report) == {ViolationKind.NOT_STRUCK}


def test_a_second_job_of_one_request_is_noticed(world: World, completed: RunReport) -> None:
    completed.job_ids.add("another")
    assert kinds(world, completed) == {ViolationKind.LOST_IMAGE}


@pytest.mark.timeout(600)
def test_two_hosts_may_do_the_same_and_die_in_turn(two_hosts: Future[TwoHostsOutcome]) -> None:
    outcome = two_hosts.result()
    assert [str(each) for each in outcome.violations] == []
    assert (outcome.jobs, outcome.kills) == (_SIZE.jobs, _SIZE.kills)
    assert outcome.ends["COMPLETED"] > outcome.jobs // 3
