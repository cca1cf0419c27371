"""A paid answer that is stored and not delivered yet: nobody pays for it again, and nobody loses it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from activities.place import place
from imagery.contracts import JobState, Stage, StageInput, StageOutcome, paid_answer, stage_output
from imagery.database.ledger import SamePicturePendingError
from imagery.database.money import SpendState
from imagery.database.tables import ImageJob, SpendEntry, utc_now
from imagery.services import Services
from lifecycle.ledger_sweep import close_lost_calls
from testbed.pictures import encoded
from tests.lifecycle.jobs import begin, make_job, now

PAID = Stage.NANO_BANANA
PRICE_USD = 0.08


def ready(services: Services) -> tuple[ImageJob, str]:
    """A job of the one photo at its paid stage, and the key of its picture."""
    job = make_job(services)
    begin(services, job)
    services.stages.succeed(
        job.job_id, Stage.GUARDRAIL, stage_output(job.job_id, Stage.GUARDRAIL), content_hash="the photo"
    )
    begin(services, job, PAID)
    key = services.stage_cache.key(now(services, job), PAID)
    assert key is not None
    return job, key


def answered(services: Services, job: ImageJob, key: str) -> None:
    """Its call went out and its answer is stored; then its process died."""
    reservation = services.ledger.reserve(job.job_id, 1, PAID, PRICE_USD, same_as=key)
    services.ledger.mark_sent(reservation.entry_id, 1)
    services.storage.write(paid_answer(job.job_id, PAID, 1), encoded("JPEG"), "image/jpeg")


def place_again(job: ImageJob) -> StageOutcome:
    order = StageInput(job_id=job.job_id, run=1, stage=PAID, deadline=utc_now() + timedelta(hours=1))
    return StageOutcome(place(order.to_json())["outcome"])


def states(services: Services) -> list[str]:
    with services.database.read() as session:
        return [entry.state for entry in session.exec(select(SpendEntry))]


def cost_usd(services: Services, job: ImageJob) -> float:
    view = services.jobs.view(job.job_id)
    assert view is not None
    return sum(row.cost_usd for row in view.stages)


def test_a_job_for_the_same_picture_waits_until_it_is_delivered_and_takes_it(services: Services) -> None:
    (first, key), (second, same) = ready(services), ready(services)
    assert key == same
    answered(services, first, key)
    services.stages.settle(services.ledger, first.job_id, PAID)
    assert (states(services), cost_usd(services, first)) == ([SpendState.SETTLED], PRICE_USD)
    with pytest.raises(SamePicturePendingError):
        services.ledger.reserve(second.job_id, 1, PAID, PRICE_USD, same_as=key)
    services.stages.wait(first.job_id, PAID, "guardrail_busy", "All workers are busy.")
    with pytest.raises(SamePicturePendingError):
        services.ledger.reserve(second.job_id, 1, PAID, PRICE_USD, same_as=key)
    assert place_again(first) is StageOutcome.SUCCEEDED
    assert place_again(second) is StageOutcome.SUCCEEDED
    assert states(services) == [SpendState.SETTLED], "one payment for both"
    assert (cost_usd(services, first), cost_usd(services, second)) == (PRICE_USD, 0.0)


def test_it_waits_no_longer_than_the_other_job_lasts(services: Services) -> None:
    (first, key), (second, _) = ready(services), ready(services)
    answered(services, first, key)
    services.stages.settle(services.ledger, first.job_id, PAID)
    services.jobs.finish(first.job_id, 1, JobState.FAILED, stage=PAID, error_code="deadline_exceeded")
    reservation = services.ledger.reserve(second.job_id, 1, PAID, PRICE_USD, same_as=key)
    assert reservation.state is SpendState.RESERVED


def test_nor_for_a_picture_that_was_rejected(services: Services) -> None:
    (first, key), (second, _) = ready(services), ready(services)
    answered(services, first, key)
    services.stages.settle(services.ledger, first.job_id, PAID)
    services.stages.reject_paid(services.ledger, first.job_id, PAID, "placed_picture_rejected", "no")
    assert services.stage_cache.find(key) is None, "nobody is offered it"
    own = services.ledger.reserve(first.job_id, 1, PAID, PRICE_USD, same_as=key)
    assert own.state is SpendState.SETTLED, "in this run nothing is paid again"
    other = services.ledger.reserve(second.job_id, 1, PAID, PRICE_USD, same_as=key)
    assert other.state is SpendState.RESERVED
    services.ledger.release(other.entry_id, "not needed")
    deadline = utc_now() + timedelta(hours=1)
    services.jobs.finish(first.job_id, 1, JobState.FAILED, stage=PAID)
    assert services.jobs.begin_run(first.job_id, instance_id="2", run=2, deadline=deadline)
    services.stages.begin(first.job_id, 2, PAID)
    assert services.ledger.answered_runs(first.job_id, 2, PAID) == [], "the rejected one is not looked at"
    again = services.ledger.reserve(first.job_id, 2, PAID, PRICE_USD, same_as=key)
    assert again.state is SpendState.RESERVED


def test_the_sweep_settles_an_answer_whose_process_died_and_its_job_delivers_it(services: Services) -> None:
    job, key = ready(services)
    answered(services, job, key)
    assert close_lost_calls(services, 10) == 0, "it may still be under way"
    with services.database.write() as session:
        session.exec(select(SpendEntry)).one().sent_at = utc_now() - timedelta(days=1)
    assert close_lost_calls(services, 10) == 1
    assert (states(services), cost_usd(services, job)) == ([SpendState.SETTLED], PRICE_USD)
    assert not services.ledger.has_unknown(job.job_id)
    assert place_again(job) is StageOutcome.SUCCEEDED
    assert services.storage.read(stage_output(job.job_id, PAID)).startswith(b"\x89PNG")
    assert states(services) == [SpendState.SETTLED]


def test_an_answer_that_was_given_up_is_still_delivered(services: Services) -> None:
    job, key = ready(services)
    answered(services, job, key)
    with services.database.write() as session:
        entry = session.exec(select(SpendEntry)).one()
        entry.state = SpendState.UNKNOWN
    services.ledger.resolve(job.job_id, PAID, charged=False, by="olga")
    assert states(services) == [SpendState.RELEASED]
    assert place_again(job) is StageOutcome.SUCCEEDED
    assert states(services) == [SpendState.SETTLED], "its picture is the better proof"
