"""A GPU stage between two calls: the service works, the activity looks, and no look is an attempt."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from sqlmodel import select
from starlette.responses import PlainTextResponse

from activities.attempt import TransientStageError
from activities.remove_background import remove_background
from imagery.contracts import JsonObject, Stage, StageInput, StageState, stage_output
from imagery.database import breakers
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.tables import JobEvent, StageRun, utc_now
from imagery.services import get_services
from testbed.scripted_gpu import ScriptedGpu, problem, scripted_gpu, works
from testbed.services import forget
from tests.lifecycle.jobs import begin, make_job

__all__ = ["scripted_gpu"]


class Job:
    """A job that the guardrail has admitted."""

    def __init__(self) -> None:
        services = get_services()
        job = make_job(services)
        begin(services, job)
        services.stages.succeed(job.job_id, Stage.GUARDRAIL, stage_output(job.job_id, Stage.GUARDRAIL))
        self.job_id = job.job_id
        self.waits = 0

    def look(self) -> JsonObject:
        """The activity, as the orchestrator calls it the next time."""
        order = StageInput(
            job_id=self.job_id,
            run=1,
            stage=Stage.REMBG,
            deadline=utc_now() + timedelta(hours=1),
            waits=self.waits,
        )
        self.waits += 1
        return remove_background(order.to_json())

    @property
    def row(self) -> StageRun:
        view = get_services().jobs.view(self.job_id)
        assert view is not None
        return view.stages[1]


def test_many_looks_at_one_work_are_one_attempt(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    scripted_gpu.answers.extend([works(expected_s=50), works(expected_s=33), works(expected_s=0)])
    waits = []
    for _ in range(3):
        told = job.look()
        assert (told["outcome"], told["error_code"]) == ("retry_later", "gpu_working")
        waits.append(told["retry_after_s"])
        row = job.row
        assert (row.state, row.attempt, row.error_code) == (StageState.RUNNING, 1, None)
        assert row.waiting_until is not None
    assert waits == [51, 34, 3], "each follows the expected end"
    with get_services().database.read() as session:
        events = [each.data for each in session.exec(select(JobEvent)) if each.event == "stage_working"]
    assert [each["progress"] for each in events] == ["The GPU works on it."] * 3, (
        "no job seems to stand still"
    )
    assert job.look()["outcome"] == "succeeded"
    row = job.row
    assert (row.attempt, row.restarts, row.repeat_reason, row.ticket) == (1, 0, None, None)
    assert (row.duration_ms, row.waited_ms) == (1500, 700)
    assert {asked.headers["prefer"] for asked in scripted_gpu.asked} == {"wait=20"}


def test_each_look_goes_to_the_replica_that_works(scripted_gpu: ScriptedGpu) -> None:
    one, other = Job(), Job()
    scripted_gpu.answers.extend([works(cookie="acaAffinity=r1; Path=/"), works("w2"), works()])
    one.look()
    other.look()
    one.look()
    one.look()
    cookies = [asked.headers.get("cookie") for asked in scripted_gpu.asked]
    assert cookies == [None, None, "acaAffinity=r1", "acaAffinity=r1"]


def test_work_that_another_replica_takes_over_says_so(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    scripted_gpu.answers.extend([works("w1"), works("w1"), works("w2")])
    for _ in range(3):
        job.look()
    row = job.row
    assert (row.attempt, row.restarts) == (1, 1)
    assert "took it over" in str(row.repeat_reason)


@pytest.mark.parametrize(
    ("status", "code"), [(429, "gpu_busy"), (503, "gpu_starting"), (503, "gpu_stopping")]
)
def test_what_nobody_could_try_is_no_attempt(scripted_gpu: ScriptedGpu, status: int, code: str) -> None:
    job = Job()
    scripted_gpu.answers.extend([problem(status, code, 7)] * 3)
    for _ in range(3):
        assert job.look()["error_code"] == code
        assert (job.row.state, job.row.attempt, job.row.error_code) == (StageState.WAITING, 0, code)
    assert job.look()["outcome"] == "succeeded"
    assert (job.row.attempt, job.row.repeat_reason) == (1, None)


def test_a_replica_that_stops_in_the_middle_is_no_new_attempt(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    scripted_gpu.answers.extend([works("w1"), problem(503, "gpu_stopping", 2), works("w2")])
    for _ in range(3):
        job.look()
    assert (job.row.state, job.row.attempt, job.row.restarts) == (StageState.RUNNING, 1, 1)


def test_an_attempt_that_failed_says_why_there_is_another(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    scripted_gpu.answers.append(problem(500, "gpu_failed"))
    with pytest.raises(TransientStageError):
        job.look()
    assert job.look()["outcome"] == "succeeded"
    assert (job.row.attempt, job.row.repeat_reason) == (2, "because of gpu_failed")


def test_looks_that_bring_nothing_new_become_rare(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    waits = []
    for _ in range(30):
        scripted_gpu.answers.append(works(expected_s=1))
        waits.append(job.look()["retry_after_s"])
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2, 61)


def test_work_that_goes_on_is_an_answer_to_the_circuit(scripted_gpu: ScriptedGpu) -> None:
    job = Job()
    scripted_gpu.answers.extend([problem(500, "gpu_failed")] * 4)
    for _ in range(4):
        with pytest.raises(TransientStageError):
            job.look()
    scripted_gpu.answers.append(works())
    job.look()
    circuit = get_services().circuits.state(GuardedDependency.GPU)
    assert (circuit.state, circuit.failures) == (CircuitState.CLOSED, 0)


class Ingress:
    """Stands before a replica that takes seven minutes to start, on a clock that only waits move."""

    def __init__(self, gpu: ScriptedGpu, starts_s: float) -> None:
        self.now = utc_now()
        self._gpu = gpu
        self._ready_at = self.now + timedelta(seconds=starts_s)
        self._signs = itertools.cycle([(504, "stream timeout"), (502, "bad gateway"), (503, "no upstream")])

    def clock(self) -> datetime:
        return self.now

    def before_a_look(self) -> None:
        """What the next call will meet."""
        self._gpu.answers.clear()
        if self.now < self._ready_at:
            status, text = next(self._signs)
            self._gpu.answers.append(PlainTextResponse(text, status))


def test_a_start_of_seven_minutes_is_waited_for_and_counts_as_nothing(
    scripted_gpu: ScriptedGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUIT", "read_s=0")
    forget()
    ingress = Ingress(scripted_gpu, starts_s=7 * 60)
    monkeypatch.setattr(breakers, "utc_now", ingress.clock)
    jobs = [Job() for _ in range(4)]
    due = {job.job_id: ingress.now for job in jobs}
    until = ingress.now + timedelta(minutes=9)
    reasons, ended = set(), 0
    while ended < len(jobs) and ingress.now < until:
        job = min((each for each in jobs if each.job_id in due), key=lambda each: due[each.job_id])
        ingress.now = max(ingress.now, due[job.job_id])
        ingress.before_a_look()
        told = job.look()
        if told["outcome"] == "succeeded":
            ended += 1
            del due[job.job_id]
            assert (job.row.attempt, job.row.repeat_reason) == (1, None)
            continue
        assert told["outcome"] == "retry_later", "never raised: that would be an attempt"
        reasons.add(told["error_code"])
        assert (job.row.state, job.row.attempt) == (StageState.WAITING, 0)
        due[job.job_id] = ingress.now + timedelta(seconds=told["retry_after_s"])
    assert ended == len(jobs)
    assert reasons == {"gpu_starting"}
    calls = len(scripted_gpu.asked)
    assert calls <= 7 * 60 / 10, "while it starts one call at a time looks for it"
    assert get_services().circuits.state(GuardedDependency.GPU).state is CircuitState.CLOSED
