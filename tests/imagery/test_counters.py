"""Counters are raised with the facts they count, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from imagery.contracts import BlobRef, GuardrailReport, JobState, Stage
from imagery.database.budget import Budgets
from imagery.database.counters import Counts, Metric, count, histograms, read_counts
from imagery.database.engine import Database, make_engine
from imagery.database.guardrail_log import log_verdict
from imagery.database.jobs import Jobs
from imagery.database.ledger import Ledger, NothingToResolveError
from imagery.database.migrate import downgrade, upgrade
from imagery.database.money import SpendState
from imagery.database.stages import Stages
from imagery.database.tables import ImageJob, utc_now
from imagery.prices import Prices
from tests.imagery.test_database import make_job

STAGE = Stage.NANO_BANANA
OUTPUT = BlobRef(container="jobs", name="x.png")
PRICE_USD = 0.08
PRICES = Prices.flat(PRICE_USD)
MICRO_PRICE = 80_000


def counts_of(database: Database, owner_id: str | None = None) -> Counts:
    with database.read() as session:
        return read_counts(session, owner_id)


def ledger_of(database: Database) -> Ledger:
    return Ledger(database, timedelta(seconds=60), Budgets(1000.0, 1000.0))


def sent(database: Database, job_id: str) -> int:
    """The entry of a call that went out."""
    ledger = ledger_of(database)
    entry = ledger.reserve(job_id, 1, STAGE, PRICE_USD).entry_id
    ledger.mark_sent(entry, 1)
    return entry


def succeed(
    database: Database, job_id: str, stage: Stage, duration_ms: float, *, cached: bool = False
) -> None:
    stages = Stages(database, PRICES)
    stages.begin(job_id, 1, stage)
    for _ in range(2):
        stages.succeed(job_id, stage, OUTPUT, duration_ms=duration_ms, cached=cached)


def test_a_job_counts_for_each_state_that_it_enters(database: Database) -> None:
    jobs, stages = Jobs(database), Stages(database)
    job_id = make_job(database)
    for stage in Stage:
        stages.begin(job_id, 1, stage)
        stages.begin(job_id, 1, stage)
    for _ in range(2):
        jobs.finish(job_id, 1, JobState.FAILED)
    assert jobs.begin_run(job_id, instance_id="i", run=2, deadline=utc_now()) is not None
    assert jobs.begin_run(job_id, instance_id="i", run=2, deadline=utc_now()) is None
    entered = {"QUEUED": 2, "VALIDATING": 1, "RUNNING": 1, "FAILED": 1}
    assert counts_of(database)[Metric.JOBS] == entered


def test_an_owner_sees_its_own_counts_and_everybody_is_the_sum(database: Database) -> None:
    for owner_id, jobs in (("ann", 2), ("bob", 3)):
        for _ in range(jobs):
            make_job(database, owner_id=owner_id)
    found = [counts_of(database, owner).get(Metric.JOBS) for owner in ("ann", "bob", "eve", None)]
    assert found == [{"QUEUED": 2}, {"QUEUED": 3}, None, {"QUEUED": 5}]


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        count(session, "ann", Metric.CALLS, "settled")
        raise RuntimeError("the process fails before its end")
    assert counts_of(database) == {}


def test_a_call_counts_once_when_its_outcome_is_known(database: Database) -> None:
    ledger = ledger_of(database)
    settled, released, unknown = (sent(database, make_job(database)) for _ in range(3))
    assert Metric.CALLS not in counts_of(database), "nobody knows yet"
    for _ in range(2):
        ledger.release(released, "503")
        ledger.mark_unknown(unknown, "no answer")
        with database.write() as session:
            ledger.settle(session, job_of(database, settled), STAGE)
    counts = counts_of(database)
    assert counts[Metric.CALLS] == {"settled": 1, "released": 1, "unknown": 1}
    assert counts[Metric.SPEND] == {"": MICRO_PRICE}


def job_of(database: Database, entry_id: int) -> str:
    from imagery.database.tables import SpendEntry

    with database.read() as session:
        entry = session.get(SpendEntry, entry_id)
        assert entry is not None
        return entry.job_id


def test_a_reservation_that_is_freed_unsent_is_no_call(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    ledger.release(ledger.reserve(job_id, 1, STAGE, PRICE_USD).entry_id, "never sent")
    ledger.reserve(job_id, 1, STAGE, PRICE_USD)
    Jobs(database).cancel(job_id)
    assert Metric.CALLS not in counts_of(database)


@pytest.mark.parametrize(
    ("charged", "outcome", "spent"), [(True, "settled", MICRO_PRICE), (False, "released", 0)]
)
def test_an_unknown_call_that_is_resolved_counts_as_what_it_then_is(
    database: Database, charged: bool, outcome: str, spent: int
) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    ledger.mark_unknown(sent(database, job_id), "no answer")
    resolved = ledger.resolve(job_id, STAGE, charged=charged, by="ops")
    assert resolved.state == SpendState(outcome)
    with pytest.raises(NothingToResolveError):
        ledger.resolve(job_id, STAGE, charged=charged, by="ops")
    counts = counts_of(database)
    assert counts[Metric.CALLS] == {"unknown": 1, outcome: 1}
    assert counts.get(Metric.SPEND, {}).get("", 0) == spent


def test_what_ends_before_its_paid_call_has_saved_its_price(database: Database) -> None:
    jobs, stages = Jobs(database, prices=PRICES), Stages(database)
    ends = [
        (JobState.REJECTED, Stage.GUARDRAIL, "nsfw"),
        (JobState.FAILED, Stage.REMBG, "no_subject_found"),
        (JobState.FAILED, STAGE, "nano_banana_safety"),
        (JobState.FAILED, STAGE, "budget_usd_per_day"),
        (JobState.COMPLETED, STAGE, None),
    ]
    for state, stage, code in ends:
        job_id = make_job(database)
        stages.begin(job_id, 1, stage)
        jobs.finish(job_id, 1, state, stage=stage, error_code=code)
    jobs.cancel(make_job(database))
    saved = {"rejected": MICRO_PRICE, "failed": MICRO_PRICE, "budget": MICRO_PRICE, "cancelled": MICRO_PRICE}
    assert counts_of(database)[Metric.AVOIDED] == saved


def test_a_job_that_may_have_paid_has_saved_nothing(database: Database) -> None:
    jobs = Jobs(database, prices=PRICES)
    job_id = make_job(database)
    ledger_of(database).mark_unknown(sent(database, job_id), "no answer")
    jobs.finish(job_id, 1, JobState.FAILED, stage=STAGE, error_code="payment_unknown")
    jobs.begin_run(job_id, instance_id="i", run=2, deadline=utc_now())
    jobs.cancel(job_id)
    assert Metric.AVOIDED not in counts_of(database)


def test_a_taken_over_picture_is_a_hit_and_saves_its_price(database: Database) -> None:
    job_id = make_job(database)
    for stage in (Stage.REMBG, STAGE):
        succeed(database, job_id, stage, 5.0, cached=True)
    counts = counts_of(database)
    assert counts[Metric.CACHE_HITS] == {"rembg": 1, "nano_banana": 1}
    assert counts[Metric.AVOIDED] == {"cache_hit": MICRO_PRICE}


def test_durations_become_cumulative_buckets(database: Database) -> None:
    for duration_ms in (99.0, 100.0, 2600.0, 700_000.0):
        succeed(database, make_job(database), Stage.REMBG, duration_ms)
    found = histograms(counts_of(database))
    assert set(found) == {"rembg"}
    buckets = dict(found["rembg"].buckets)
    assert [buckets[bound] for bound in ("0.1", "0.25", "2.5", "5.0", "600.0", "+Inf")] == [2, 2, 2, 3, 3, 4]
    assert found["rembg"].sum_s == pytest.approx(702.799)


def test_a_bound_of_another_version_counts_for_the_next_one() -> None:
    found = histograms({Metric.LATENCY_BUCKET: {"rembg/0.7": 2, "rembg/+Inf": 1}})["rembg"]
    buckets = dict(found.buckets)
    assert (buckets["0.5"], buckets["1.0"], buckets["+Inf"]) == (0, 2, 3)


def test_verdicts_are_counted_with_their_rows(database: Database) -> None:
    for admitted in (True, True, False):
        report = GuardrailReport(admitted=admitted, code=None, message="", checks=[], duration_ms=1.0)
        log_verdict(database, report, owner_id="ann", size_bytes=1)
    assert counts_of(database, "ann")[Metric.VALIDATIONS] == {"admitted": 2, "rejected": 1}


def test_counts_of_many_writers_add_up(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: make_job(database, owner_id=f"owner-{n % 3}"), range(48)))
    assert counts_of(database)[Metric.JOBS] == {"QUEUED": 48}
    assert counts_of(database, "owner-0")[Metric.JOBS] == {"QUEUED": 16}


_DIES = """
import os, sys
from sqlalchemy import event
from imagery.contracts import BlobRef, JobRequest
from imagery.database.engine import Database, make_engine
from imagery.database.jobs import Jobs
from imagery.database.tables import utc_now

engine = make_engine(sys.argv[1])
event.listen(engine, "commit", lambda _: os._exit(137))
order = JobRequest(job_id="j", source=BlobRef(container="uploads", name="x", etag="1"), owner_id="ann")
Jobs(Database(engine)).create(order, instance_id="i", deadline=utc_now())
"""


def test_a_process_that_dies_before_its_commit_leaves_neither_row_nor_count(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    assert subprocess.run([sys.executable, "-c", _DIES, url], check=False, timeout=60).returncode == 137
    with database.read() as session:
        assert session.get(ImageJob, "j") is None
    assert counts_of(database) == {}
    make_job(database)
    assert counts_of(database)[Metric.JOBS] == {"QUEUED": 1}, "and nobody waits for its locks"


def test_the_migration_begins_the_counters_with_what_the_rows_tell(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    database, ledger = Database(engine), None
    ledger = ledger_of(database)
    jobs = Jobs(database, prices=PRICES)
    done, cached, rejected, unknown = (make_job(database, owner_id="ann") for _ in range(4))
    succeed(database, done, Stage.GUARDRAIL, 90.0)
    succeed(database, done, Stage.REMBG, 1200.0)
    sent(database, done)
    with database.write() as session:
        ledger.settle(session, done, STAGE)
    jobs.finish(done, 1, JobState.COMPLETED)
    succeed(database, cached, STAGE, 3.0, cached=True)
    jobs.finish(cached, 1, JobState.COMPLETED)
    jobs.finish(rejected, 1, JobState.REJECTED)
    ledger.mark_unknown(sent(database, unknown), "no answer")
    log_verdict(
        database,
        GuardrailReport(admitted=True, code=None, message="", checks=[], duration_ms=1.0),
        owner_id="bob",
        size_bytes=1,
    )
    before = {owner: counts_of(database, owner) for owner in (None, "ann", "bob")}
    downgrade(engine, "0003")
    upgrade(engine)
    after = {owner: counts_of(database, owner) for owner in (None, "ann", "bob")}
    # the cached job has no rembg stage here, so that it was never seen RUNNING in the rows
    for found in (before, after):
        for owner in (None, "ann"):
            found[owner][Metric.JOBS].pop("RUNNING")  # type: ignore[attr-defined]
    assert after == before
    engine.dispose()
