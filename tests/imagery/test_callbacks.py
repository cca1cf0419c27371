"""Deliveries on both databases: written with the job's end, claimed by one, due again after a failure."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from imagery.contracts import BlobRef, JobRequest, JobState
from imagery.database.callbacks import Callbacks, delivery_id
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.tables import utc_now

HOLD = timedelta(seconds=60)


def ended_job(database: Database, url: str | None = "https://public.example/hook") -> str:
    job_id, deadline = str(uuid.uuid4()), utc_now() + timedelta(hours=1)
    source = BlobRef(container="uploads", name="x")
    request = JobRequest(job_id=job_id, source=source, owner_id="ann", callback_url=url)
    jobs = Jobs(database)
    jobs.create(request, instance_id="i", deadline=deadline)
    jobs.cancel(job_id)
    return job_id


def test_a_delivery_is_written_with_the_end_of_its_job(database: Database) -> None:
    job_id = ended_job(database)
    (due,) = Callbacks(database).due(10)
    assert (due.job_id, due.delivery_id) == (job_id, delivery_id(job_id, 1))
    assert '"job.cancelled"' in due.body
    ended_job(database, None)
    assert len(Callbacks(database).due(10)) == 1


def test_a_claimed_delivery_is_not_due_until_its_hold_ends(database: Database) -> None:
    callbacks, name = Callbacks(database), delivery_id(ended_job(database), 1)
    claimed = callbacks.claim(name, HOLD)
    assert claimed is not None
    assert claimed.attempts == 1
    assert callbacks.due(10) == []
    assert callbacks.claim(name, timedelta(0)) is not None, "its own orchestration may try again"
    assert [row.delivery_id for row in callbacks.due(10)] == [name]


def test_many_claims_count_each_once(database: Database) -> None:
    callbacks, name = Callbacks(database), delivery_id(ended_job(database), 1)
    with ThreadPoolExecutor(8) as pool:
        attempts = [row.attempts for row in pool.map(lambda _: callbacks.claim(name, HOLD), range(8)) if row]
    assert sorted(attempts) == list(range(1, 9))


def test_failures_are_due_again_until_the_lifetime_ends(database: Database) -> None:
    callbacks, name = Callbacks(database), delivery_id(ended_job(database), 1)
    callbacks.claim(name, HOLD)
    assert callbacks.failed(name, "no answer", None, utc_now() - timedelta(seconds=1))
    assert [row.delivery_id for row in callbacks.due(10)] == [name]
    assert not callbacks.failed(name, "no answer", 500, utc_now() + timedelta(days=2))
    assert callbacks.claim(name, HOLD) is None
    assert callbacks.due(10) == []


def test_what_is_delivered_stays_so(database: Database) -> None:
    callbacks, job_id = Callbacks(database), ended_job(database)
    callbacks.delivered(delivery_id(job_id, 1), 204)
    assert callbacks.claim(delivery_id(job_id, 1), HOLD) is None
    view = Jobs(database).view(job_id)
    assert view is not None
    assert view.callback is not None
    assert (view.callback.state, view.callback.last_status) == ("delivered", 204)


def test_a_job_that_runs_again_has_another_message(database: Database) -> None:
    job_id = ended_job(database)
    jobs = Jobs(database)
    jobs.begin_run(job_id, instance_id="i2", run=2, deadline=utc_now() + timedelta(hours=1))
    jobs.finish(job_id, 2, JobState.FAILED, error_code="x", message="x")
    assert {row.delivery_id for row in Callbacks(database).due(10)} == {
        delivery_id(job_id, 1),
        delivery_id(job_id, 2),
    }
