"""Migrations, jobs and stages on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import inspect, text
from sqlmodel import SQLModel, select

from imagery.contracts import BlobRef, JobRequest, JobState, Stage, StageState
from imagery.database.batches import Batches
from imagery.database.breakers import CircuitBreakers
from imagery.database.circuits import BreakerPolicy, GuardedDependency
from imagery.database.engine import Database, make_engine
from imagery.database.events import newest_event
from imagery.database.job_views import JobFilter
from imagery.database.jobs import Jobs
from imagery.database.migrate import current_revision, downgrade, head_revision, upgrade
from imagery.database.retention import Retention
from imagery.database.stage_cache import StageCache
from imagery.database.stages import Stages
from imagery.database.tables import GuardrailLog, UploadTicket, utc_now
from imagery.settings import Settings
from tests.events import events_of


def request(**more: object) -> JobRequest:
    values = {
        "job_id": str(uuid.uuid4()),
        "source": BlobRef(container="uploads", name="x.png", etag="1"),
        "owner_id": "me",
    }
    return JobRequest.model_validate(values | more)


def make_job(database: Database, **more: object) -> str:
    order = request(**more)
    Jobs(database).create(order, instance_id=f"{order.job_id}-1", deadline=utc_now() + timedelta(hours=1))
    return order.job_id


def test_the_migrations_make_exactly_the_tables_of_the_code(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    assert current_revision(engine) == head_revision()
    made = inspect(engine)
    for name, table in SQLModel.metadata.tables.items():
        assert {column["name"] for column in made.get_columns(name)} == set(table.columns.keys())
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    engine.dispose()


def test_a_job_is_created_once_by_many(database: Database) -> None:
    order, deadline = request(), utc_now() + timedelta(hours=1)
    jobs = Jobs(database)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: jobs.create(order, instance_id="i", deadline=deadline), range(16)))
    assert sum(created for _, created in results) == 1
    assert {job.job_id for job, _ in results} == {order.job_id}


def test_times_come_back_with_their_zone(database: Database) -> None:
    job = Jobs(database).get(make_job(database))
    assert job is not None
    assert job.created_at.utcoffset() == timedelta(0)
    assert abs(utc_now() - job.created_at) < timedelta(seconds=30)


def test_a_stage_counts_its_attempts_and_keeps_its_output(database: Database) -> None:
    job_id, stages = make_job(database), Stages(database)
    stages.begin(job_id, 1, Stage.REMBG)
    stages.wait(job_id, Stage.REMBG, "gpu_unreachable", "no answer")
    begun = stages.begin(job_id, 1, Stage.REMBG)
    assert begun is not None
    assert begun.attempt == 2
    output = BlobRef(container="jobs", name="x/1-rembg.png")
    stages.succeed(job_id, Stage.REMBG, output, vram_used_gb=1.5)
    again = stages.begin(job_id, 1, Stage.REMBG)
    assert again is not None
    assert again.output == output
    view = Jobs(database).view(job_id)
    assert view is not None
    row = view.stages[0]
    assert (row.state, row.attempt, row.error_code, row.vram_used_gb) == (StageState.SUCCEEDED, 2, None, 1.5)


def test_an_ended_job_begins_no_stage(database: Database) -> None:
    job_id = make_job(database)
    Jobs(database).cancel(job_id)
    assert Stages(database).begin(job_id, 1, Stage.GUARDRAIL) is None
    assert Stages(database).begin(str(uuid.uuid4()), 1, Stage.GUARDRAIL) is None


def test_a_job_ends_once(database: Database) -> None:
    job_id, jobs = make_job(database), Jobs(database)
    Stages(database).begin(job_id, 1, Stage.REMBG)
    Stages(database).fail(job_id, Stage.REMBG, "no_subject_found", "nothing to cut out")
    jobs.finish(job_id, 1, JobState.FAILED, stage=Stage.REMBG)
    jobs.finish(job_id, 1, JobState.COMPLETED)
    job = jobs.get(job_id)
    assert job is not None
    assert (job.state, job.stage, job.error_code) == (JobState.FAILED, "rembg", "no_subject_found")
    assert job.error_message == "nothing to cut out"


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_that_rejects_its_input_stays_rejected_whatever_its_job_ends_as(
    database: Database, stage: Stage
) -> None:
    job_id, jobs, stages = make_job(database), Jobs(database), Stages(database)
    stages.begin(job_id, 1, stage)
    stages.reject(job_id, stage, "no_subject_found", "nothing to cut out")
    end = JobState.REJECTED if stage is Stage.GUARDRAIL else JobState.FAILED
    jobs.finish(job_id, 1, end, stage=stage)
    view = jobs.view(job_id)
    assert view is not None
    assert (view.job.state, view.stages[0].state) == (end, StageState.REJECTED)
    assert (view.job.error_code, view.stages[0].error_code) == ("no_subject_found", "no_subject_found")


def test_the_former_word_of_a_stage_is_read_as_rejected(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    database = Database(engine)
    rejected, failed = make_job(database), make_job(database)
    for job_id, end in ((rejected, JobState.REJECTED), (failed, JobState.FAILED)):
        Stages(database).begin(job_id, 1, Stage.GUARDRAIL)
        Jobs(database).finish(job_id, 1, end, stage=Stage.GUARDRAIL, error_code="x", message="y")
    downgrade(engine, "0004")
    with engine.connect() as connection:
        written = connection.execute(text("SELECT job_id, state FROM stage_run")).all()
    assert set(written) == {(rejected, "REFUSED"), (failed, "FAILED")}, "what the version before wrote"
    assert StageState("REFUSED") is StageState.REJECTED, "an instance of that version may still write"
    upgrade(engine)
    views = [Jobs(database).view(job_id) for job_id in (rejected, failed)]
    assert [view.stages[0].state for view in views if view] == [StageState.REJECTED, StageState.FAILED]
    engine.dispose()


def test_rows_outlive_the_columns_that_nothing_read(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    database, output = Database(engine), BlobRef(container="jobs", name="x/1-rembg.png")
    job_id = make_job(database)
    Stages(database).begin(job_id, 1, Stage.REMBG)
    Stages(database).succeed(job_id, Stage.REMBG, output)
    cache = StageCache(database, Settings())
    cache.keep("key", job_id, output)
    CircuitBreakers(database, BreakerPolicy.of(Settings())).open_by_hand(GuardedDependency.GPU, "olga")
    downgrade(engine, "0006")
    upgrade(engine)
    entry = cache.find("key")
    assert entry is not None
    assert (entry.job_id, entry.output_name) == (job_id, output.name)
    begun = Stages(database).begin(job_id, 1, Stage.REMBG)
    assert begun is not None
    assert begun.output == output
    breakers = CircuitBreakers(database, BreakerPolicy.of(Settings()))
    assert breakers.state(GuardedDependency.GPU).changed_by == "olga"
    engine.dispose()


def test_a_stage_that_began_while_the_job_was_being_cancelled_ends_too(database: Database) -> None:
    job_id, jobs, stages = make_job(database), Jobs(database), Stages(database)
    output = BlobRef(container="jobs", name=f"{job_id}/0-guardrail.png")
    stages.begin(job_id, 1, Stage.GUARDRAIL)
    stages.succeed(job_id, Stage.GUARDRAIL, output)
    stages.begin(job_id, 1, Stage.REMBG)
    # the canceller saw the job a moment before, in its first stage
    jobs.finish(job_id, 1, JobState.CANCELLED, stage=Stage.GUARDRAIL, error_code="cancelled", message="so")
    view = jobs.view(job_id)
    assert view is not None
    assert [row.state for row in view.stages] == [StageState.SUCCEEDED, StageState.CANCELLED]


def test_a_retry_is_a_new_run_that_keeps_finished_stages(database: Database) -> None:
    job_id, jobs, stages = make_job(database), Jobs(database), Stages(database)
    stages.begin(job_id, 1, Stage.GUARDRAIL)
    stages.succeed(job_id, Stage.GUARDRAIL, BlobRef(container="jobs", name="g"))
    stages.begin(job_id, 1, Stage.REMBG)
    jobs.finish(job_id, 1, JobState.FAILED, stage=Stage.REMBG, error_code="x", message="y")
    deadline = utc_now() + timedelta(hours=1)
    again = jobs.begin_run(job_id, instance_id="i2", run=2, deadline=deadline)
    assert again is not None
    assert (again.state, again.run, again.error_code) == (JobState.QUEUED, 2, None)
    assert jobs.begin_run(job_id, instance_id="i3", run=3, deadline=deadline) is None
    assert stages.begin(job_id, 1, Stage.REMBG) is None, "the old run must not go on"
    view = jobs.view(job_id)
    assert view is not None
    assert [row.state for row in view.stages] == [StageState.SUCCEEDED, StageState.PENDING]


def test_pages_hold_every_job_once_newest_first(database: Database) -> None:
    made = [make_job(database) for _ in range(7)]
    make_job(database, owner_id="somebody-else")
    jobs, seen, cursor = Jobs(database), [], None
    for _ in range(10):
        page = jobs.page(JobFilter(owner_id="me"), limit=3, cursor=cursor)
        seen += [view.job.job_id for view in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen == list(reversed(made))


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_of_several_states_hold_every_job_once_in_order(database: Database, oldest_first: bool) -> None:
    made = [make_job(database) for _ in range(9)]
    jobs, seen, cursor = Jobs(database), [], None
    for number, job_id in enumerate(made):
        if number % 3:
            jobs.finish(job_id, 1, JobState.FAILED if number % 2 else JobState.CANCELLED)
    wanted = JobFilter(
        None, [JobState.FAILED, JobState.CANCELLED, JobState.FAILED], oldest_first=oldest_first
    )
    for _ in range(10):
        page = jobs.page(wanted, limit=2, cursor=cursor)
        seen += [view.job.job_id for view in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    ended = [job_id for number, job_id in enumerate(made) if number % 3]
    assert seen == (ended if oldest_first else ended[::-1])


def test_unfinished_jobs_are_those_that_nobody_touched(database: Database) -> None:
    open_job, ended = make_job(database), make_job(database)
    Jobs(database).cancel(ended)
    found = Jobs(database).unfinished(utc_now() + timedelta(seconds=1), 10)
    assert [job.job_id for job in found] == [open_job]
    assert Jobs(database).unfinished(utc_now() - timedelta(seconds=60), 10) == []


def test_the_journal_tells_what_happened_in_order(database: Database) -> None:
    job_id = make_job(database)
    Stages(database).begin(job_id, 1, Stage.GUARDRAIL)
    Jobs(database).finish(job_id, 1, JobState.FAILED, stage=Stage.GUARDRAIL, error_code="x", message="y")
    events = events_of(database, job_id)
    assert [event.event for event in events] == ["job_queued", "stage_started", "job_failed"]
    assert [event.event for event in events_of(database, job_id, level="error")] == ["job_failed"]
    assert events[-1].id == newest_event(database)
    assert events_of(database, job_id, after=newest_event(database)) == []


@pytest.mark.parametrize("count", [24])
def test_writers_wait_for_each_other(database: Database, count: int) -> None:
    jobs = [make_job(database) for _ in range(4)]
    stages = Stages(database)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: stages.begin(jobs[n % 4], 1, Stage.REMBG), range(count)))
    attempts = [view.stages[0].attempt for job in jobs if (view := Jobs(database).view(job))]
    assert sum(attempts) == count


def test_batches_that_were_only_known_by_their_jobs_become_rows(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    database = Database(engine)
    jobs = [make_job(database, batch_id="b", owner_id="ann") for _ in range(2)]
    make_job(database)
    downgrade(engine, "0002")
    upgrade(engine)
    batch = Batches(database).get("b")
    assert batch is not None
    assert (batch.owner_id, batch.items, batch.refused, batch.cancelled_at) == ("ann", 2, [], None)
    job = Jobs(database).get(jobs[0])
    assert job is not None
    assert batch.created_at <= job.created_at
    engine.dispose()


def test_verdicts_and_tickets_expire_with_the_log(database: Database) -> None:
    now = utc_now()
    with database.write() as session:
        for days in (91, 1):
            moment = now - timedelta(days=days)
            session.add(
                GuardrailLog(owner_id="a", verdict="admitted", message="", checks=[], created_at=moment)
            )
            session.add(
                UploadTicket(
                    ticket_id=str(days),
                    owner_id="a",
                    blob_name="b",
                    size_bytes=1,
                    content_type="image/png",
                    options={},
                    expires_at=moment,
                )
            )
    assert Retention(database).delete_old(now - timedelta(days=90), chunks=5) == 2
    with database.read() as session:
        assert list(session.exec(select(UploadTicket.ticket_id))) == ["1"]
        assert len(list(session.exec(select(GuardrailLog)))) == 1
