"""Quotas, held also when many requests come at once, on both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from imagery.contracts import BlobRef, JobOptions, JobRequest, JobState, Stage
from imagery.database.batches import Batches
from imagery.database.budget import Budgets
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.ledger import Ledger
from imagery.database.quotas import QuotaExceededError, Quotas
from imagery.database.stages import Stages
from imagery.database.tables import Batch, ImageJob, utc_now
from imagery.database.tickets import Tickets
from imagery.database.users import Users
from imagery.prices import Prices
from imagery.principal import STORAGE_OWNER, Role
from imagery.storage import LINK_LIFETIME_S

DEADLINE = timedelta(hours=1)
PLENTY = Quotas(jobs_per_minute=1000, concurrent_jobs=1000, usd_per_day=1000.0, prices=Prices.flat(0.08))


@pytest.fixture
def owner(database: Database) -> str:
    return Users(database).create("ann", Role.USER)[0].user_id


def create(
    database: Database, owner: str, quotas: Quotas, job_id: str | None = None, batch_id: str | None = None
) -> ImageJob:
    request = JobRequest(
        job_id=job_id or str(uuid.uuid4()),
        source=BlobRef(container="uploads", name="x"),
        owner_id=owner,
        batch_id=batch_id,
    )
    return Jobs(database).create(request, instance_id="i", deadline=utc_now() + DEADLINE, quotas=quotas)[0]


def refused(database: Database, owner: str, quotas: Quotas) -> QuotaExceededError:
    with pytest.raises(QuotaExceededError) as caught:
        create(database, owner, quotas)
    return caught.value


def with_limit(**limits: Any) -> Quotas:
    return Quotas(**{**vars(PLENTY), **limits})


def test_jobs_a_minute(database: Database, owner: str) -> None:
    quotas = with_limit(jobs_per_minute=2)
    job = create(database, owner, quotas)
    create(database, owner, quotas)
    error = refused(database, owner, quotas)
    assert error.code == "quota_jobs_per_minute"
    assert 50 < error.retry_after_s <= 60
    assert create(database, owner, quotas, job.job_id).job_id == job.job_id, (
        "the same request again is no new job"
    )
    with database.write() as session:
        kept = session.get(ImageJob, job.job_id)
        assert kept is not None
        kept.created_at -= timedelta(seconds=61)
    create(database, owner, quotas)


def test_a_retry_counts_in_the_minute_it_is_asked_for(database: Database, owner: str) -> None:
    quotas, jobs = with_limit(jobs_per_minute=3), Jobs(database)
    job = create(database, owner, quotas)
    for run in (2, 3):
        jobs.cancel(job.job_id)
        order = {"instance_id": "i", "run": run, "deadline": utc_now() + DEADLINE}
        assert jobs.begin_run(job.job_id, quotas=quotas, **order) is not None  # type: ignore[arg-type]
    assert refused(database, owner, quotas).code == "quota_jobs_per_minute"


def test_a_job_that_a_batch_adopts_still_counts_in_its_minute(database: Database, owner: str) -> None:
    quotas, jobs = with_limit(jobs_per_minute=3), Jobs(database)
    started = [create(database, owner, quotas).job_id for _ in range(2)]
    batch = Batch(batch_id="b", owner_id=owner, items=4, refused=[])
    Batches(database).create(batch, quotas.check_batch)
    assert jobs.adopt(started, "b") == set(started)
    create(database, owner, quotas, batch_id="b")
    assert refused(database, owner, quotas).code == "quota_jobs_per_minute"


def test_upload_links_have_a_quota(database: Database, owner: str) -> None:
    quotas, tickets = with_limit(jobs_per_minute=2), Tickets(database)
    for number in range(2):
        quotas.check_ticket(database, owner, JobOptions())
        tickets.add(
            f"t{number}",
            owner_id=owner,
            blob_name=f"{owner}/t{number}/p.jpg",
            size_bytes=1,
            content_type="image/jpeg",
            options=JobOptions(),
            callback_url=None,
            lifetime=timedelta(seconds=LINK_LIFETIME_S),
        )
    with pytest.raises(QuotaExceededError, match="links"):
        quotas.check_ticket(database, owner, JobOptions())


def test_open_jobs(database: Database, owner: str) -> None:
    quotas = with_limit(concurrent_jobs=1)
    job = create(database, owner, quotas)
    assert refused(database, owner, quotas).code == "quota_concurrent_jobs"
    Jobs(database).cancel(job.job_id)
    other = create(database, owner, quotas)
    with pytest.raises(QuotaExceededError):
        Jobs(database).begin_run(
            job.job_id, instance_id="i2", run=2, deadline=utc_now() + DEADLINE, quotas=quotas
        )
    Jobs(database).cancel(other.job_id)
    again = Jobs(database).begin_run(
        job.job_id, instance_id="i2", run=2, deadline=utc_now() + DEADLINE, quotas=quotas
    )
    assert again is not None


def test_money_counts_what_open_jobs_may_cost_and_what_was_paid(database: Database, owner: str) -> None:
    quotas = with_limit(usd_per_day=0.16)
    first, second = create(database, owner, quotas), create(database, owner, quotas)
    error = refused(database, owner, quotas)
    assert (error.code, error.is_money) == ("quota_usd_per_day", True)
    assert 0 < error.retry_after_s <= 86_400
    Jobs(database).cancel(second.job_id)
    create(database, owner, quotas)
    ledger = Ledger(database, timedelta(minutes=1), Budgets(1000.0, 1000.0))
    reservation = ledger.reserve(first.job_id, 1, Stage.NANO_BANANA, 0.08)
    ledger.mark_sent(reservation.entry_id, 1)
    Jobs(database).finish(first.job_id, 1, JobState.FAILED, error_code="x", message="x")
    assert refused(database, owner, quotas).code == "quota_usd_per_day", "what may have been paid counts"


def test_money_that_was_released_counts_no_more(database: Database, owner: str) -> None:
    quotas = with_limit(usd_per_day=0.08)
    job = create(database, owner, quotas)
    ledger = Ledger(database, timedelta(minutes=1), Budgets(1000.0, 1000.0))
    reservation = ledger.reserve(job.job_id, 1, Stage.NANO_BANANA, 0.08)
    ledger.release(reservation.entry_id, "refused")
    Jobs(database).finish(job.job_id, 1, JobState.FAILED, error_code="x", message="x")
    create(database, owner, quotas)


def test_a_user_may_have_quotas_of_its_own(database: Database, owner: str) -> None:
    quotas = with_limit(jobs_per_minute=0)
    assert refused(database, owner, quotas).code == "quota_jobs_per_minute"
    Users(database).change("ann", jobs_per_minute=1, usd_per_day=0.0)
    assert refused(database, owner, quotas).code == "quota_usd_per_day"
    Users(database).change("ann", usd_per_day=1.0)
    create(database, owner, quotas)


def test_who_is_no_user_has_no_quota(database: Database) -> None:
    create(database, STORAGE_OWNER, with_limit(jobs_per_minute=0))


def test_a_quota_holds_when_everybody_comes_at_once(database: Database, owner: str) -> None:
    quotas = with_limit(concurrent_jobs=5)

    def attempt(_: int) -> bool:
        try:
            create(database, owner, quotas)
        except QuotaExceededError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(24))) == 5


def test_a_batch_is_one_job_of_the_minute_and_its_items_wait_for_their_turn(
    database: Database, owner: str
) -> None:
    quotas = with_limit(jobs_per_minute=2, concurrent_jobs=2)
    batches = Batches(database)
    batch, created = batches.create(
        Batch(batch_id=str(uuid.uuid4()), owner_id=owner, items=5, refused=[]), quotas.check_batch
    )
    assert created
    items = [create(database, owner, quotas, batch_id=batch.batch_id) for _ in range(5)]
    job = create(database, owner, quotas)
    assert refused(database, owner, quotas).code == "quota_jobs_per_minute"
    with pytest.raises(QuotaExceededError) as caught:
        batches.create(Batch(batch_id="another", owner_id=owner, items=1, refused=[]), quotas.check_batch)
    assert caught.value.retry_after_s > 50
    assert batches.get("another") is None
    slow = with_limit(concurrent_jobs=2)
    Stages(database).begin(items[0].job_id, 1, Stage.GUARDRAIL)
    assert refused(database, owner, slow).code == "quota_concurrent_jobs", (
        "one item runs, and one job is open"
    )
    Jobs(database).cancel(job.job_id)
    create(database, owner, slow)


def test_the_items_of_a_batch_need_their_money(database: Database, owner: str) -> None:
    quotas = with_limit(usd_per_day=0.16)
    for _ in range(2):
        create(database, owner, quotas, batch_id="b")
    with pytest.raises(QuotaExceededError) as caught:
        create(database, owner, quotas, batch_id="b")
    assert caught.value.code == "quota_usd_per_day"
