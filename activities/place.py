"""Stage 3, the paid one: place the cut-out in a scene (Nano Banana). It pays at most once a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from activities.attempt import Attempt
from activities.deliver import deliver, finish, stored_answer, take
from activities.paid_call import (
    LOOK_AGAIN_S,
    PAYMENT_UNKNOWN,
    UNKNOWN,
    NotChargedError,
    none_paid,
    pay,
    pending,
)
from activities.pricing import order_of, price_of
from activities.stage import run_stage
from imagery.backoff import JITTER, spread
from imagery.contracts import JsonObject, Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.budget import BudgetExhaustedError
from imagery.database.circuits import CircuitOpenError
from imagery.database.ledger import (
    NotPayableError,
    PriceAboveMaxError,
    Reservation,
    SamePicturePendingError,
)
from imagery.database.money import SpendState, to_usd
from imagery.database.tables import utc_now
from imagery.providers.protocol import Provider
from imagery.services import PaidRoute

_TWIN_LOOK_S = 5.0
_LEASE_MARGIN_S = 45.0


def place(message: JsonObject) -> JsonObject:
    """Activity of the nano_banana stage."""
    return run_stage(message, Stage.NANO_BANANA, work)


def work(attempt: Attempt) -> StageResult:
    """Make the scene, if one was asked for: an instance of the previous version runs every stage."""
    if not attempt.options.output.has_scene:
        return attempt.fail("no_scene", "The job asked for no scene, so none was paid. Retry it.")
    return _scene(attempt)


def _scene(attempt: Attempt) -> StageResult:
    """Use what is paid or kept already; else reserve, call, and deliver what came."""
    services = attempt.services
    if attempt.is_stored():
        # an earlier attempt stored the judged picture and died before it could say so
        return finish(attempt)
    answer = stored_answer(attempt)
    if answer is not None:
        return deliver(attempt, answer)
    if services.jobs.give_way(attempt.job_id):
        # whoever was to end it for the job that was asked for has died before that
        return attempt.cancel()
    if not services.ledger.has_unknown(attempt.job_id):
        reused = take(attempt)
        if reused is not None:
            return reused
    lease_s = services.settings.nano_banana.retry.longest_s + _LEASE_MARGIN_S
    without: list[CircuitOpenError | NotChargedError] = []
    for route in _routes(attempt):
        try:
            with services.circuits.call(route.dependency, lease_s=lease_s, seed=attempt.job_id) as circuit:
                return _reserve(attempt, route.provider, circuit, without)
        except CircuitOpenError as error:
            without.append(error)
            if error.forced:
                # an operator stops all spending, not one provider's
                break
        except NotChargedError as error:
            without.append(error)
    return none_paid(attempt, without)


def _routes(attempt: Attempt) -> list[PaidRoute]:
    """The first provider, and the second one if its model can be asked for the same within ``max_usd``."""
    options = attempt.options
    first, *others = attempt.services.paid_routes
    return [
        first,
        *(
            each
            for each in others
            if each.provider.offers(options.aspect_ratio, options.thinking_level)
            and (options.max_usd is None or to_usd(price_of(attempt, each.provider)) <= options.max_usd)
        ),
    ]


def _reserve(
    attempt: Attempt,
    provider: Provider,
    circuit: CircuitCall,
    without: list[CircuitOpenError | NotChargedError],
) -> StageResult:
    """Reserve the price and pay. Raises ``NotChargedError`` and as ``pay`` does."""
    services, order = attempt.services, attempt.order
    same_as = None if attempt.options.fresh else services.stage_cache.key(attempt.job, attempt.stage)
    try:
        reservation = services.ledger.reserve(
            order.job_id,
            order.run,
            order.stage,
            to_usd(price_of(attempt, provider)),
            same_as=same_as,
            order=order_of(attempt, provider),
            max_usd=attempt.options.max_usd,
        )
    except NotPayableError:
        return attempt.cancel()
    except SamePicturePendingError as error:
        return attempt.later(error.code, str(error), _spread(attempt, _TWIN_LOOK_S))
    except PriceAboveMaxError as error:
        return attempt.fail(error.code, str(error))
    except BudgetExhaustedError as error:
        return _over_budget(attempt, error)
    if reservation.state is not SpendState.RESERVED:
        return _standing(attempt, reservation)
    for each in without:
        if isinstance(each, NotChargedError):
            # why the attempt before this one ended, not why the first provider did not do it just now
            reservation = replace(reservation, released_for=each.reservation.released_for)
    # another job may have paid for the same picture since this attempt looked
    return take(attempt, reservation) or pay(attempt, reservation, provider, circuit)


def _over_budget(attempt: Attempt, error: BudgetExhaustedError) -> StageResult:
    """Wait for the next day's budget where the job has the time, else end the job unpaid."""
    wait = _spread(attempt, error.retry_after_s)
    if utc_now() + timedelta(seconds=wait) < attempt.order.deadline:
        return attempt.later(error.code, str(error), wait)
    return attempt.fail(error.code, str(error))


def _spread(attempt: Attempt, seconds: float) -> float:
    return seconds * spread(JITTER, attempt.job_id)


def _standing(attempt: Attempt, reservation: Reservation) -> StageResult:
    """What an entry that this attempt may not touch means for the job."""
    if reservation.state is SpendState.SENT:
        return pending(attempt, reservation.wait_s or LOOK_AGAIN_S)
    if attempt.is_stored():
        # another attempt has stored it since this one looked
        return finish(attempt)
    if reservation.refused_for is not None:
        return attempt.fail(reservation.refused_for, "The image model made no picture, and charged for that.")
    answer = stored_answer(attempt)
    if answer is not None:
        return deliver(attempt, answer)
    if reservation.state is SpendState.SETTLED:
        return attempt.fail("result_missing", "The picture was paid but is no longer stored.")
    return attempt.fail(PAYMENT_UNKNOWN, UNKNOWN)
