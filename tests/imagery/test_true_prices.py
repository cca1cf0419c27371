"""The ledger settles at the price of what came, whoever dies in between; budgets move exactly."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from imagery.contracts import ImageSize, JobState, Stage
from imagery.database.budget import BudgetExhaustedError, Budgets
from imagery.database.counters import Metric, read_counts
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.ledger import Ledger, PriceAboveMaxError
from imagery.database.money import SpendState
from imagery.database.paid_answers import PaidAnswer
from imagery.database.spend_report import by_model, committed_usd
from imagery.database.stages import Stages
from imagery.database.tables import SpendDay, SpendEntry, User, utc_day
from imagery.database.users import Users
from imagery.prices import PictureOrder
from imagery.principal import Role
from tests.events import events_of
from tests.imagery.test_database import make_job

STAGE = Stage.NANO_BANANA
MODEL = "gemini-3-pro-image"
SIZES = {ImageSize.K1: (1024, 1024), ImageSize.K2: (2048, 2048), ImageSize.K4: (4096, 4096)}


def order(size: ImageSize = ImageSize.K1, model: str = MODEL) -> PictureOrder:
    return PictureOrder("gemini_api", model, size)


def answer(micro: int, size: ImageSize | None = ImageSize.K1, **more: Any) -> PaidAnswer:
    width, height = SIZES[size] if size else (None, None)
    return PaidAnswer(micro, model=MODEL, size=size, width=width, height=height, **more)


def ledger_of(database: Database, usd: float = 1000.0, within_s: float = 60) -> Ledger:
    return Ledger(database, timedelta(seconds=within_s), Budgets(usd, user_usd_per_day=1000.0))


@pytest.fixture
def ann(database: Database) -> User:
    return Users(database).create("ann", Role.USER)[0]


def sent(ledger: Ledger, job_id: str, usd: float, size: ImageSize = ImageSize.K1) -> int:
    entry = ledger.reserve(job_id, 1, STAGE, usd, order=order(size)).entry_id
    ledger.mark_sent(entry, 1)
    return entry


def settle(database: Database, ledger: Ledger, job_id: str) -> float:
    with database.write() as session:
        return ledger.settle(session, job_id, STAGE)


def committed(database: Database, user: User) -> tuple[int, int]:
    """Micro USD that the day's budgets have given: of everybody, and of the user."""
    with database.read() as session:
        return tuple(  # type: ignore[return-value]  # two of them
            round(committed_usd(session, utc_day(), owner) * 1_000_000) for owner in (None, user.user_id)
        )


def entry_of(database: Database, job_id: str) -> SpendEntry:
    with database.read() as session:
        return session.exec(select(SpendEntry).where(SpendEntry.job_id == job_id)).one()


@pytest.mark.parametrize("due", [33_600, 240_000])
def test_budgets_move_by_the_difference_when_the_call_is_settled(
    database: Database, ann: User, due: int
) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    entry = sent(ledger, job_id, 0.134)
    ledger.record_answer(entry, answer(due))
    assert committed(database, ann) == (134_000, 134_000), "reserved until it is settled"
    assert entry_of(database, job_id).state == SpendState.SENT
    for _ in range(2):
        assert settle(database, ledger, job_id) == due / 1_000_000
        assert committed(database, ann) == (due, due)
    with database.read() as session:
        assert read_counts(session, None)[Metric.SPEND] == {"": due}


def test_a_price_above_the_budget_is_booked_all_the_same(database: Database, ann: User) -> None:
    """The money is spent; the next call is the one that has no room."""
    ledger = ledger_of(database, usd=0.2)
    job_id = make_job(database, owner_id=ann.user_id)
    ledger.record_answer(sent(ledger, job_id, 0.134), answer(240_000))
    assert settle(database, ledger, job_id) == 0.24
    assert committed(database, ann) == (240_000, 240_000)
    with pytest.raises(BudgetExhaustedError):
        ledger.reserve(make_job(database), 1, STAGE, 0.01)


def test_two_processes_that_settle_at_once_move_the_budgets_once(database: Database, ann: User) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    ledger.record_answer(sent(ledger, job_id, 0.134), answer(240_000))
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            assert ledger.settle(session, job_id, STAGE) == 0.24
            other = pool.submit(settle, database, ledger_of(database), job_id)
            # the other one has to begin before this one commits
            time.sleep(0.5)
            assert not other.done()
        assert other.result() == 0.24
    assert committed(database, ann) == (240_000, 240_000)


def test_a_host_that_dies_before_it_records_settles_at_the_price_of_the_order(
    database: Database, ann: User
) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    sent(ledger, job_id, 0.134)
    assert settle(database, ledger, job_id) == 0.134
    assert committed(database, ann) == (134_000, 134_000)


def test_a_host_that_dies_between_record_and_store_leaves_the_true_price(
    database: Database, ann: User
) -> None:
    """The picture is lost; what the operator finds on the bill is what the answer said."""
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    entry = sent(ledger, job_id, 0.134)
    ledger.record_answer(entry, answer(240_000, ImageSize.K4))
    ledger.mark_unknown(entry, "its process died")
    assert committed(database, ann) == (240_000, 240_000)
    resolved = ledger.resolve(job_id, STAGE, charged=True, by="olga")
    assert (resolved.state, resolved.price_micro_usd) == (SpendState.SETTLED, 240_000)
    assert committed(database, ann) == (240_000, 240_000)


def test_an_overdue_call_is_resolved_at_the_price_of_what_came(database: Database, ann: User) -> None:
    ledger, job_id = ledger_of(database, within_s=0), make_job(database, owner_id=ann.user_id)
    ledger.record_answer(sent(ledger, job_id, 0.134), answer(33_600))
    assert ledger.resolve(job_id, STAGE, charged=True, by="olga").price_micro_usd == 33_600
    assert committed(database, ann) == (33_600, 33_600)


def test_what_was_not_charged_goes_back_whole(database: Database, ann: User) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    entry = sent(ledger, job_id, 0.134)
    ledger.record_answer(entry, answer(240_000))
    ledger.mark_unknown(entry, "lost")
    ledger.resolve(job_id, STAGE, charged=False, by="olga")
    assert committed(database, ann) == (0, 0)
    assert settle(database, ledger, job_id) == 0.24, "its picture arrived after all"
    assert committed(database, ann) == (240_000, 240_000)


def test_a_run_after_a_lost_picture_pays_what_a_picture_costs_by_then(database: Database, ann: User) -> None:
    ledger, jobs = ledger_of(database), Jobs(database)
    job_id = make_job(database, owner_id=ann.user_id)
    entry = sent(ledger, job_id, 0.134)
    ledger.record_answer(entry, answer(240_000))
    ledger.mark_unknown(entry, "lost")
    jobs.finish(job_id, 1, JobState.FAILED, error_code="payment_unknown", message="lost")
    ledger.resolve(job_id, STAGE, charged=True, by="olga")
    job = jobs.get(job_id)
    assert job is not None
    jobs.begin_run(job_id, instance_id="i", run=2, deadline=job.deadline)
    again = ledger.reserve(job_id, 2, STAGE, 0.05, order=order())
    ledger.mark_sent(again.entry_id, 2)
    ledger.record_answer(again.entry_id, answer(60_000))
    assert settle(database, ledger, job_id) == 0.3
    assert committed(database, ann) == (300_000, 300_000)


def test_a_reservation_that_is_made_again_has_the_price_of_now(database: Database, ann: User) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    entry = sent(ledger, job_id, 0.134)
    ledger.record_answer(entry, answer(240_000))
    ledger.release(entry, "503")
    ledger.reserve(job_id, 1, STAGE, 0.05, order=order(ImageSize.K2))
    assert committed(database, ann) == (50_000, 50_000)
    kept = entry_of(database, job_id)
    assert (kept.price_micro_usd, kept.image_size, kept.due_micro_usd) == (50_000, "2K", None)
    ledger.mark_sent(entry, 1)
    assert settle(database, ledger, job_id) == 0.05


def test_an_answer_without_a_picture_that_is_charged_is_settled_and_blocks_no_later_run(
    database: Database, ann: User
) -> None:
    ledger, jobs = ledger_of(database), Jobs(database)
    job_id = make_job(database, owner_id=ann.user_id)
    Stages(database).begin(job_id, 1, STAGE)
    entry = sent(ledger, job_id, 0.134)
    for _ in range(2):
        ledger.settle_refusal(entry, "nano_banana_safety", answer(3_200, None, usage={"promptTokenCount": 9}))
    assert committed(database, ann) == (3_200, 3_200)
    with database.read() as session:
        counted = read_counts(session, None)
    assert (counted[Metric.CALLS], counted[Metric.SPEND]) == ({"settled": 1}, {"": 3_200})
    standing = ledger.reserve(job_id, 1, STAGE, 0.134, order=order())
    assert (standing.state, standing.refused_for) == (SpendState.SETTLED, "nano_banana_safety")
    view = jobs.view(job_id)
    assert view is not None and view.stages[0].cost_usd == 0.0032
    jobs.finish(job_id, 1, JobState.FAILED, error_code="nano_banana_safety", message="no")
    jobs.begin_run(job_id, instance_id="i", run=2, deadline=view.job.deadline)
    assert ledger.reserve(job_id, 2, STAGE, 0.134, order=order()).state is SpendState.RESERVED


def test_what_came_is_kept_and_nothing_of_it_breaks_a_database(database: Database) -> None:
    ledger, job_id = ledger_of(database), make_job(database)
    usage = {
        "promptTokenCount": 258,
        "details": [{"modality": "IMAGE", "tokenCount": 1120}] * 1000,
        "odd": [float("nan"), float("inf"), 10**400, "\x00\ud800", {"deep": {"deeper": {"deepest": 1}}}],
    }
    text = "Here\x00 it is\ud800. " * 100
    ledger.record_answer(
        sent(ledger, job_id, 0.08), answer(80_000, usage=usage, text=text, response_id="r" * 500)
    )
    kept = entry_of(database, job_id)
    assert (kept.provider, kept.model, kept.image_size) == ("gemini_api", MODEL, "1K")
    assert (kept.answered_model, kept.delivered_size, kept.width, kept.height) == (MODEL, "1K", 1024, 1024)
    assert kept.response_id == "r" * 100
    assert kept.text is not None and kept.text.startswith("Here it is. ") and len(kept.text) <= 300
    assert kept.usage is not None and kept.usage["promptTokenCount"] == 258
    assert len(kept.usage["details"]) == 30
    assert kept.usage["odd"] == [None, None, None, "", {"deep": None}]
    assert kept.answered_at is not None


def test_another_size_than_ordered_is_an_event_of_the_job(database: Database) -> None:
    ledger = ledger_of(database)
    asked, other = make_job(database), make_job(database)
    ledger.record_answer(sent(ledger, asked, 0.134, ImageSize.K2), answer(134_000, ImageSize.K2))
    ledger.record_answer(sent(ledger, other, 0.24, ImageSize.K4), answer(134_000, ImageSize.K1))
    assert [each.event for each in events_of(database, asked)].count("size_not_delivered") == 0
    (event,) = [each for each in events_of(database, other) if each.event == "size_not_delivered"]
    assert event.level == "warning"
    assert event.data == {"ordered": "4K", "delivered": "1K", "width": 1024, "height": 1024}


def test_nothing_is_reserved_above_what_the_request_allows(database: Database, ann: User) -> None:
    ledger, job_id = ledger_of(database), make_job(database, owner_id=ann.user_id)
    with pytest.raises(PriceAboveMaxError, match=r"costs \$0.134 now, and the request allows \$0.08"):
        ledger.reserve(job_id, 1, STAGE, 0.134, order=order(), max_usd=0.08)
    assert committed(database, ann) == (0, 0)
    entry = ledger.reserve(job_id, 1, STAGE, 0.08, order=order(), max_usd=0.08)
    ledger.mark_sent(entry.entry_id, 1)
    assert ledger.reserve(job_id, 1, STAGE, 0.134, max_usd=0.08).state is SpendState.SENT, "it is under way"


def test_ledger_budgets_and_report_are_the_bill_by_model_and_size(database: Database, ann: User) -> None:
    """A provider's bill of 60 calls with every end; the ledger says the same to the millionth."""
    chance, ledger = random.Random(7), ledger_of(database)
    bill: dict[tuple[str, str], int] = {}
    for _ in range(60):
        size, came = chance.choice(list(ImageSize)), chance.choice(list(ImageSize))
        model, due = chance.choice(["a", "b"]), chance.randrange(1, 400_000)
        job_id = make_job(database, owner_id=chance.choice([ann.user_id, "storage"]))
        entry = ledger.reserve(job_id, 1, STAGE, 0.134, order=order(size, model)).entry_id
        ledger.mark_sent(entry, 1)
        end = chance.choice(["settled", "settled", "released", "lost", "refused"])
        if end == "released":
            ledger.release(entry, "503")
            continue
        charged = came if end != "refused" else size
        bill[model, charged.value] = bill.get((model, charged.value), 0) + due
        if end == "refused":
            ledger.settle_refusal(entry, "no", answer(due, None))
            continue
        ledger.record_answer(entry, answer(due, came))
        if end == "lost":
            ledger.mark_unknown(entry, "lost")
            ledger.resolve(job_id, STAGE, charged=True, by="olga")
        settle(database, ledger, job_id)
    with database.read() as session:
        sums = by_model(session, "2000-01-01", None)
        days = session.exec(select(SpendDay)).all()
        counted = read_counts(session, None)[Metric.SPEND][""]
    assert {(each.model, each.size): round(each.settled_usd * 1_000_000) for each in sums} == bill
    assert sum(bill.values()) == counted
    assert sum(each.micro_usd for each in days if each.scope == "*") == counted
    assert sum(each.micro_usd for each in days if each.scope != "*") <= counted
