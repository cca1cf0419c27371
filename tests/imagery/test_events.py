"""Events that a reader who pages by id can't miss, with many writers on a real PostgreSQL."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from imagery.database import journal
from imagery.database.engine import Database, make_engine
from imagery.database.event_watch import EventWatch
from imagery.database.events import EventFilter, events_after, last_events, newest_event, record
from imagery.database.job_views import JobFilter
from imagery.database.jobs import Jobs
from imagery.database.migrate import upgrade
from imagery.database.tables import ImageJob
from tests.imagery.test_database import make_job

WRITERS, EACH, READERS = 8, 60, 3
EVERYTHING = EventFilter()


def write(database: Database, job: ImageJob, *names: str, **more: Any) -> None:
    with database.write() as session:
        for name in names:
            record(session, job, name, **more)


def job_of(database: Database, owner_id: str = "ann") -> ImageJob:
    job = Jobs(database).get(make_job(database, owner_id=owner_id))
    assert job is not None
    return job


@pytest.fixture
def slow_commits(postgres_url: str) -> Iterator[Database]:
    """A database whose writers dawdle between their last statement and their commit."""
    engine = make_engine(postgres_url)
    upgrade(engine)
    made = Database(engine)
    job_of(made)
    event.listen(engine, "commit", lambda _: time.sleep(random.random() * 0.01))
    yield made
    engine.dispose()


def read_while_written(database: Database) -> tuple[list[list[int]], list[int]]:
    """What each reader saw page by page, and what there is in the end."""
    job = Jobs(database).page(JobFilter(None), limit=1).jobs[0].job
    begin, done = newest_event(database), threading.Event()

    def read(_: int) -> list[int]:
        seen: list[int] = []
        position = begin
        while True:
            ended = done.is_set()
            page = events_after(database, EVERYTHING, position, limit=7, scan=1000)
            seen += [each.id or 0 for each in page.events]
            position = page.position
            if ended and not page.more:
                return seen

    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(WRITERS) as writers:
        reading = [readers.submit(read, number) for number in range(READERS)]
        list(writers.map(lambda n: write(database, job, f"a{n}", f"b{n}"), range(WRITERS * EACH)))
        done.set()
        seen = [each.result() for each in reading]
    left = events_after(database, EVERYTHING, begin, limit=10_000, scan=1000).events
    return seen, [each.id or 0 for each in left]


def test_readers_lose_and_double_nothing_while_eight_write(slow_commits: Database) -> None:
    seen, written = read_while_written(slow_commits)
    assert len(written) == WRITERS * EACH * 2
    assert all(ids == written for ids in seen)


@pytest.mark.parametrize(("is_locked", "seen"), [(True, ["slow", "fast"]), (False, ["fast"])])
def test_only_the_lock_makes_ids_visible_in_their_order(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, is_locked: bool, seen: list[str]
) -> None:
    if not is_locked:
        monkeypatch.setattr(journal, "lock_key", lambda: random.getrandbits(48))
    engine = make_engine(postgres_url)
    upgrade(engine)
    database = Database(engine)
    job = job_of(database)
    position = newest_event(database)
    read: list[str] = []
    is_held, other_is_done = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        if not is_held.is_set():
            is_held.set()
            other_is_done.wait(1)

    def look() -> None:
        nonlocal position
        page = events_after(database, EVERYTHING, position, limit=10, scan=1000)
        read.extend(each.event for each in page.events)
        position = page.position

    event.listen(engine, "commit", hold)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(write, database, job, "slow")
        is_held.wait(5)
        write(database, job, "fast")
        look()
        other_is_done.set()
        slow.result()
    look()
    assert read == seen
    engine.dispose()


def test_a_writer_that_never_commits_does_not_stop_the_others_for_long(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    upgrade(engine)
    database, impatient = Database(engine), Database(engine, journal_wait_s=0.3)
    job = job_of(database)
    with impatient.read() as session:
        record(session, job, "stuck")
        journal.write_journal(session, 60.0)
        with pytest.raises(OperationalError, match="lock timeout"):
            write(impatient, job, "late")
    write(impatient, job, "in time")
    # whoever keeps the lock and does nothing loses its connection
    with pytest.raises(DBAPIError), impatient.read() as session:
        record(session, job, "stuck")
        journal.write_journal(session, 0.3)
        write(database, job, "soon after")
    page = last_events(database, EVERYTHING, limit=9, scan=1000)
    assert [each.event for each in page.events] == ["job_queued", "in time", "soon after"]
    engine.dispose()


def test_events_of_one_transaction_keep_their_order(database: Database) -> None:
    job = job_of(database)
    begin = newest_event(database)
    names = [f"event-{number}" for number in range(20)]
    write(database, job, *names)
    page = events_after(database, EVERYTHING, begin, limit=100, scan=1000)
    assert [each.event for each in page.events] == names
    assert (page.position, page.more) == (newest_event(database), False)


def test_a_full_page_tells_that_there_is_more(database: Database) -> None:
    job = job_of(database)
    write(database, job, *"abcd")
    first = events_after(database, EventFilter(job_id=job.job_id), 0, limit=3, scan=1000)
    assert [each.event for each in first.events] == ["job_queued", "a", "b"]
    assert (first.more, first.position) == (True, first.events[-1].id)


def test_a_search_goes_step_by_step_and_moves_the_reader_on(database: Database) -> None:
    job = job_of(database)
    write(database, job, *"abcdefghij")
    write(database, job, "bad", level="error")
    write(database, job, "fine")
    errors = EventFilter(level="error")
    page = events_after(database, errors, 0, limit=10, scan=2)
    assert (page.events, page.position, page.more) == ([], 2, True)
    found = []
    while page.more:
        page = events_after(database, errors, page.position, limit=10, scan=2)
        found += [each.event for each in page.events]
    assert (found, page.position) == (["bad"], newest_event(database))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("STAGE_F", ["stage_failed"]),
        ("out of", ["stage_failed"]),
        ("gpu_OUT", ["stage_failed"]),
        ("100%", ["percent"]),
        ("_", ["job_queued", "stage_failed"]),
        ("nothing like it", []),
    ],
)
def test_text_is_found_in_name_error_and_code(database: Database, text: str, found: list[str]) -> None:
    job = job_of(database)
    write(database, job, "stage_failed", error="Out of memory", error_code="gpu_out_of_memory")
    write(database, job, "percent", error="100% used")
    page = events_after(database, EventFilter(text=text), 0, limit=10, scan=1000)
    assert [each.event for each in page.events] == found


def test_the_last_events_are_told_in_order_and_of_their_owner(database: Database) -> None:
    ann, bob = job_of(database), job_of(database, "bob")
    for job in (ann, bob, ann):
        write(database, job, *(f"{job.owner_id}-{number}" for number in range(3)))
    page = last_events(database, EventFilter(owner_id="bob"), limit=2, scan=1000)
    assert [each.event for each in page.events] == ["bob-1", "bob-2"]
    assert page.position == newest_event(database)


def test_one_look_an_interval_serves_everybody(database: Database) -> None:
    job = job_of(database)
    patient, hasty = EventWatch(database, every_s=60.0), EventWatch(database, every_s=0.01)
    first = patient.look()
    assert hasty.look() == first
    write(database, job, "new")
    time.sleep(0.02)
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: patient.look(), range(200))) == {first}, "no second look so soon"
        assert set(pool.map(lambda _: hasty.look(), range(200))) <= {first, first + 1}
    assert (patient.newest, hasty.newest) == (first, first + 1)
