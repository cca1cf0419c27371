"""The ledger: one caller pays once, and an unanswered call is never repeated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from imagery.contracts import Stage
from imagery.database.budget import Budgets
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.ledger import AlreadySentError, Ledger, NotPayableError
from imagery.database.money import SpendState
from tests.imagery.test_database import make_job

STAGE = Stage.NANO_BANANA
PLENTY = Budgets(1000.0, 1000.0)


def ledger_of(database: Database, answer_within_s: float = 60) -> Ledger:
    return Ledger(database, timedelta(seconds=answer_within_s), PLENTY)


def test_of_many_callers_one_may_send(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id

    def send(_: int) -> bool:
        try:
            ledger.mark_sent(entry, 1)
        except AlreadySentError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(16))) == 1


def test_a_settled_stage_is_not_paid_again_even_by_a_later_run(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    ledger.mark_sent(ledger.reserve(job_id, 1, STAGE, 0.08).entry_id, 1)
    with database.write() as session:
        assert ledger.settle(session, job_id, STAGE) == 0.08
    assert ledger.reserve(job_id, 1, STAGE, 0.08).state is SpendState.SETTLED
    with database.write() as session:
        assert ledger.settle(session, job_id, STAGE) == 0.08


def test_a_released_entry_may_be_reserved_again(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    for _ in range(3):
        entry = ledger.reserve(job_id, 1, STAGE, 0.08)
        assert entry.state is SpendState.RESERVED
        ledger.mark_sent(entry.entry_id, 1)
        ledger.release(entry.entry_id, "503")


def test_a_sent_call_is_awaited_and_then_unknown(database: Database) -> None:
    job_id = make_job(database)
    patient, impatient = ledger_of(database), ledger_of(database, answer_within_s=0)
    patient.mark_sent(patient.reserve(job_id, 1, STAGE, 0.08).entry_id, 1)
    standing = patient.reserve(job_id, 1, STAGE, 0.08)
    assert standing.state is SpendState.SENT
    assert standing.wait_s is not None
    assert 0 < standing.wait_s <= 60
    assert impatient.reserve(job_id, 1, STAGE, 0.08).state is SpendState.UNKNOWN
    assert patient.reserve(job_id, 1, STAGE, 0.08).state is SpendState.UNKNOWN
    assert patient.has_unknown(job_id)


def test_an_interrupted_call_is_unknown_only_if_it_was_sent(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id
    ledger.abandon(entry)
    assert not ledger.has_unknown(job_id)
    ledger.mark_sent(ledger.reserve(job_id, 1, STAGE, 0.08).entry_id, 1)
    ledger.abandon(entry)
    assert ledger.reserve(job_id, 1, STAGE, 0.08).state is SpendState.UNKNOWN


def test_a_cancelled_job_is_not_paid(database: Database) -> None:
    job_id, ledger = make_job(database), ledger_of(database)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08).entry_id
    Jobs(database).cancel(job_id)
    with pytest.raises(NotPayableError):
        ledger.mark_sent(entry, 1)
    with pytest.raises(NotPayableError):
        ledger.reserve(job_id, 1, STAGE, 0.08)
