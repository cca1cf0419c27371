"""Budgets of a day: never overshot by any number of callers, given back when nothing was charged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import select

from drills.races.reservations import run as run_reservations
from imagery.contracts import JobState, Stage
from imagery.database.budget import BudgetExhaustedError, Budgets
from imagery.database.counters import Metric, read_counts
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.ledger import Ledger, NothingToResolveError
from imagery.database.money import SpendState
from imagery.database.spend_report import committed_usd
from imagery.database.tables import SpendEntry, utc_day
from imagery.database.users import Users
from imagery.principal import Role
from tests.conftest import ON_POSTGRES
from tests.imagery.test_database import make_job

STAGE = Stage.NANO_BANANA


def ledger_of(database: Database, usd: float = 1000.0, within_s: float = 60) -> Ledger:
    return Ledger(database, timedelta(seconds=within_s), Budgets(usd, user_usd_per_day=1000.0))


def committed(database: Database, owner: str | None = None) -> float:
    with database.read() as session:
        return committed_usd(session, utc_day(), owner)


def from_entries(database: Database) -> float:
    with database.read() as session:
        entries = session.exec(select(SpendEntry).where(SpendEntry.state != SpendState.RELEASED))
        return sum(entry.price_micro_usd for entry in entries) / 1_000_000


def test_two_hundred_reservations_at_once_stop_at_the_budget(database: Database) -> None:
    jobs = [make_job(database) for _ in range(200)]
    ledger = ledger_of(database, usd=0.08 * 50)

    def reserve(job_id: str) -> bool:
        try:
            return ledger.reserve(job_id, 1, STAGE, 0.08).state is SpendState.RESERVED
        except BudgetExhaustedError as error:
            assert error.code == "budget_usd_per_day"
            assert 0 < error.retry_after_s <= 86_400
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(reserve, jobs)) == 50
    assert committed(database) == pytest.approx(4.0)
    assert from_entries(database) == pytest.approx(4.0)


@ON_POSTGRES
@pytest.mark.slow
def test_processes_that_race_for_the_last_of_a_budget_get_exactly_it(
    migrated_url: str, database: Database
) -> None:
    assert run_reservations(migrated_url, processes=4, reservations=400, budget=100)["granted"] == 100


def test_a_user_has_a_budget_of_its_own(database: Database) -> None:
    user, _ = Users(database).create("ann", Role.USER)
    Users(database).change("ann", usd_per_day=0.08)
    ledger = ledger_of(database)
    ledger.reserve(make_job(database, owner_id=user.user_id), 1, STAGE, 0.08)
    with pytest.raises(BudgetExhaustedError) as caught:
        ledger.reserve(make_job(database, owner_id=user.user_id), 1, STAGE, 0.08)
    assert caught.value.code == "quota_usd_per_day"
    assert committed(database) == pytest.approx(0.08), "what was refused is taken from no budget"
    ledger.reserve(make_job(database), 1, STAGE, 0.08)
    assert committed(database, user.user_id) == pytest.approx(0.08)
    assert committed(database) == pytest.approx(0.16)


def test_what_is_released_goes_back(database: Database) -> None:
    ledger = ledger_of(database, usd=0.08)
    for _ in range(3):
        entry = ledger.reserve(make_job(database), 1, STAGE, 0.08)
        ledger.release(entry.entry_id, "503")
        ledger.release(entry.entry_id, "503, told twice")
        assert committed(database) == 0.0


def test_a_job_that_ends_gives_back_what_it_did_not_send(database: Database) -> None:
    ledger, jobs = ledger_of(database), Jobs(database)
    cancelled, sent = make_job(database), make_job(database)
    ledger.reserve(cancelled, 1, STAGE, 0.08)
    ledger.mark_sent(ledger.reserve(sent, 1, STAGE, 0.08).entry_id, 1)
    jobs.cancel(cancelled)
    jobs.finish(sent, 1, JobState.FAILED, error_code="payment_unknown", message="lost")
    assert committed(database) == pytest.approx(0.08)


def test_an_unknown_call_found_on_the_bill_is_spent_and_a_retry_pays_anew(database: Database) -> None:
    ledger, jobs, job_id = ledger_of(database), Jobs(database), make_job(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id
    ledger.mark_sent(entry, 1)
    ledger.mark_unknown(entry, "no answer")
    jobs.finish(job_id, 1, JobState.FAILED, error_code="payment_unknown", message="lost")
    resolved = ledger.resolve(job_id, STAGE, charged=True, by="olga")
    assert (resolved.state, resolved.resolved_by) == (SpendState.SETTLED, "olga")
    assert not ledger.has_unknown(job_id)
    assert committed(database) == pytest.approx(0.08)
    job = jobs.get(job_id)
    assert job is not None
    jobs.begin_run(job_id, instance_id="i-2", run=2, deadline=job.deadline)
    again = ledger.reserve(job_id, 2, STAGE, 0.08)
    assert again.state is SpendState.RESERVED
    ledger.mark_sent(again.entry_id, 2)
    with database.write() as session:
        assert ledger.settle(session, job_id, STAGE) == pytest.approx(0.16), "both were paid"


def test_an_unknown_call_not_on_the_bill_gives_its_money_back(database: Database) -> None:
    ledger, job_id = ledger_of(database), make_job(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id
    ledger.mark_sent(entry, 1)
    with pytest.raises(NothingToResolveError):
        ledger.resolve(job_id, STAGE, charged=False, by="olga")
    ledger.mark_unknown(entry, "no answer")
    assert ledger.resolve(job_id, STAGE, charged=False, by="olga").state is SpendState.RELEASED
    assert committed(database) == 0.0
    with pytest.raises(NothingToResolveError):
        ledger.resolve(job_id, STAGE, charged=False, by="olga")


def test_a_picture_that_arrives_after_all_is_charged_again(database: Database) -> None:
    """An operator has found no charge, and then the picture itself is there: the better proof."""
    ledger, job_id = ledger_of(database, usd=0.08), make_job(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id
    ledger.mark_sent(entry, 1)
    ledger.mark_unknown(entry, "no answer")
    ledger.resolve(job_id, STAGE, charged=False, by="olga")
    # the day's money went to somebody else meanwhile; what is spent is spent
    ledger.reserve(make_job(database), 1, STAGE, 0.08)
    for _ in range(2):
        with database.write() as session:
            assert ledger.settle(session, job_id, STAGE) == pytest.approx(0.08)
    assert committed(database) == pytest.approx(0.16)
    with database.read() as session:
        counts = read_counts(session, None)
        assert counts[Metric.SPEND] == {"": 80_000}


def test_a_call_whose_process_died_can_be_resolved_once_no_answer_can_come(database: Database) -> None:
    patient, impatient = ledger_of(database), ledger_of(database, within_s=0)
    job_id = make_job(database)
    patient.mark_sent(patient.reserve(job_id, 1, STAGE, 0.08).entry_id, 1)
    assert patient.overdue(10) == []
    assert [entry.job_id for entry in impatient.overdue(10)] == [job_id]
    assert impatient.resolve(job_id, STAGE, charged=False, by="olga").state is SpendState.RELEASED


def test_a_budget_of_nothing_pays_nothing(database: Database) -> None:
    with pytest.raises(BudgetExhaustedError):
        ledger_of(database, usd=0.0).reserve(make_job(database), 1, STAGE, 0.08)
