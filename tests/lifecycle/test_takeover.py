"""One upload is paid once: by the job that somebody asked for, else by the one that its event starts."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from imagery.contracts import UPLOADS, JobOptions, JobRequest, Stage
from imagery.database.jobs import Jobs
from imagery.database.money import SpendState
from imagery.database.tables import ImageJob, SpendEntry
from imagery.services import Services
from lifecycle import starter
from lifecycle.blob_requests import blob_request, pinned
from lifecycle.starter import rerun, submit
from lifecycle.takeover import event_job_id, starts_by_itself
from lifecycle.uploads import on_upload
from tests.lifecycle.durable import Durable
from tests.lifecycle.test_uploads import jobs, tick, upload

PROMPT = JobOptions(prompt="on snow")


def _die(*_: object) -> None:
    raise SystemExit


class World:
    """One upload, and the ways in which a job comes of it."""

    def __init__(self, services: Services, durable: Durable) -> None:
        self.services, self.durable = services, durable
        ref = upload(services, "p.jpg")
        self.source = pinned(ref, services.storage.properties(ref))
        self.own = event_job_id(self.source)

    def event(self) -> None:
        asyncio.run(on_upload(self.durable.client, UPLOADS, self.source.name))

    def sweep(self) -> None:
        tick(self.durable)

    def request(self, options: JobOptions = PROMPT) -> tuple[ImageJob, bool]:
        order = blob_request(self.source, options, request_hash="of the body")
        return asyncio.run(submit(self.durable.client, order))

    def reserve(self) -> int:
        """The event's job comes as far as its paid call."""
        assert self.services.stages.begin(self.own, 1, Stage.NANO_BANANA) is not None
        return self.services.ledger.reserve(self.own, 1, Stage.NANO_BANANA, 0.08).entry_id

    def jobs(self) -> dict[str, str]:
        """State, or code, of the event's job (``own``) and of the request's (``asked``)."""
        return {
            "own" if view.job.job_id == self.own else "asked": view.job.error_code or view.job.state
            for view in jobs(self.services)
        }


@pytest.fixture
def world(services: Services, durable: Durable) -> World:
    return World(services, durable)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["event", "request"], {"own": "taken_over", "asked": "QUEUED"}),
        (["request", "event"], {"asked": "QUEUED"}),
        (["request", "sweep"], {"asked": "QUEUED"}),
        (["event", "request", "sweep", "event"], {"own": "taken_over", "asked": "QUEUED"}),
        (["event"], {"own": "QUEUED"}),
        (["sweep", "event"], {"own": "QUEUED"}),
    ],
)
def test_who_comes_first_does_not_matter(world: World, order: list[str], expected: dict[str, str]) -> None:
    for step in order:
        getattr(world, step)()
    assert world.jobs() == expected


def test_both_at_once_leave_the_one_that_was_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has written its row before either looks for the other's."""
    both = threading.Barrier(2, timeout=30)
    create = starter.create

    def together(request: JobRequest) -> tuple[ImageJob, bool]:
        # the event's first look is behind it
        both.wait()
        made = create(request)
        both.wait()
        return made

    monkeypatch.setattr(starter, "create", together)
    with ThreadPoolExecutor(2) as pool:
        event, request = pool.submit(world.event), pool.submit(world.request)
        event.result()
        request.result()
    assert world.jobs() == {"own": "taken_over", "asked": "QUEUED"}


def test_a_request_that_dies_before_it_has_taken_the_upload_has_no_job(
    world: World, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both rows change or none: no death in between leaves two jobs that both pay."""
    world.event()
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_take_over", _die)
        with pytest.raises(SystemExit):
            world.request()
    assert world.jobs() == {"own": "QUEUED"}
    world.request()
    assert world.jobs() == {"own": "taken_over", "asked": "QUEUED"}


def test_who_runs_the_events_job_again_gets_its_picture(world: World, services: Services) -> None:
    world.event()
    world.request()
    own = services.jobs.get(world.own)
    assert own is not None
    assert asyncio.run(rerun(world.durable.client, own)) is not None
    assert services.jobs.give_way(world.own) is False
    assert world.jobs() == {"own": "QUEUED", "asked": "QUEUED"}


def test_what_has_begun_to_pay_goes_on(world: World, services: Services) -> None:
    world.event()
    services.ledger.mark_sent(world.reserve(), 1)
    world.request()
    assert world.jobs() == {"own": "RUNNING", "asked": "QUEUED"}


def test_money_that_was_only_reserved_is_given_back(world: World, services: Services) -> None:
    world.event()
    world.reserve()
    world.request()
    assert world.jobs() == {"own": "taken_over", "asked": "QUEUED"}
    with services.database.read() as session:
        assert list(session.exec(select(SpendEntry.state))) == [SpendState.RELEASED]


def test_a_job_that_was_asked_for_is_no_longer_its_events_alone(world: World) -> None:
    world.event()
    job, created = world.request(JobOptions())
    assert (job.job_id, created) == (world.own, False)
    world.request()
    assert world.jobs() == {"own": "QUEUED", "asked": "QUEUED"}, "both were asked for"


def test_a_job_in_a_batch_is_not_taken_from_it(world: World, services: Services) -> None:
    world.event()
    assert services.jobs.adopt([world.own], "batch") == {world.own}
    world.request()
    assert world.jobs() == {"own": "QUEUED", "asked": "QUEUED"}


def test_after_a_cancel_neither_event_nor_sweep_begins_anew(world: World, services: Services) -> None:
    job, _ = world.request()
    services.jobs.cancel(job.job_id)
    world.event()
    world.sweep()
    assert world.jobs() == {"asked": "cancelled"}


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("p.jpg", True),
        ("batch/p.jpg", False),
        ("batch/a/b.jpg", False),
        ("user/batch-ticket/p.jpg", False),
        ("user/ticket/batch-p.jpg", True),
        ("user/batch/p.jpg", True),
    ],
)
def test_an_upload_for_a_batch_starts_nothing_by_itself(
    services: Services, durable: Durable, name: str, starts: bool
) -> None:
    assert starts_by_itself(name) is starts
    ref = upload(services, name)
    asyncio.run(on_upload(durable.client, UPLOADS, ref.name))
    tick(durable)
    assert len(jobs(services)) == int(starts)
