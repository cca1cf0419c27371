"""Stage 3, the paid one: place the cut-out in a scene (Nano Banana). It pays at most once a run."""

from __future__ import annotations

import io
from datetime import timedelta

from PIL import Image

from activities.attempt import Attempt
from activities.stage import run_stage
from imagery.backoff import JITTER, spread
from imagery.contracts import JsonObject, Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.budget import BudgetExhaustedError
from imagery.database.circuits import CircuitOpenError, GuardedDependency
from imagery.database.ledger import (
    AlreadySentError,
    NotPayableError,
    Reservation,
    SamePicturePendingError,
)
from imagery.database.money import SpendState
from imagery.database.tables import utc_now
from imagery.png import without_personal_metadata
from imagery.providers.errors import (
    NanoBananaError,
    NoPictureError,
    OddAnswerError,
    OutOfServiceError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.response import PlacedImage

_PNG = "image/png"
_PAYMENT_UNKNOWN = "payment_unknown"
_LOOK_AGAIN_S = 20.0
_TWIN_LOOK_S = 5.0
_ODD_WAIT_S = 2.0
_LEASE_MARGIN_S = 30.0
_UNKNOWN = (
    "The paid call went out but its answer was lost, so it may have been charged. It is not repeated "
    "by itself; an operator has to settle it."
)


def place(message: JsonObject) -> JsonObject:
    """Activity of the nano_banana stage."""
    return run_stage(message, Stage.NANO_BANANA, work)


def work(attempt: Attempt) -> StageResult:
    """Use what is paid or kept already; else reserve, call, store and settle."""
    services = attempt.services
    if attempt.is_stored():
        # an earlier attempt stored the paid picture and died before it could say so
        return attempt.settle()
    if services.jobs.give_way(attempt.job_id):
        # whoever was to end it for the job that was asked for has died before that
        return attempt.cancel()
    if not services.ledger.has_unknown(attempt.job_id):
        reused = attempt.reuse()
        if reused is not None:
            return reused
    lease_s = services.settings.nano_banana.retry.timeout_s + _LEASE_MARGIN_S
    try:
        with services.circuits.call(
            GuardedDependency.NANO_BANANA, lease_s=lease_s, seed=attempt.job_id
        ) as circuit:
            return _reserve(attempt, circuit)
    except CircuitOpenError as error:
        return attempt.circuit_open(error)


def _reserve(attempt: Attempt, circuit: CircuitCall) -> StageResult:
    services, order = attempt.services, attempt.order
    same_as = None if attempt.options.fresh else services.stage_cache.key(attempt.job, attempt.stage)
    try:
        reservation = services.ledger.reserve(
            order.job_id, order.run, order.stage, services.settings.nano_banana.price_usd, same_as=same_as
        )
    except NotPayableError:
        return attempt.cancel()
    except SamePicturePendingError as error:
        return attempt.later(error.code, str(error), _spread(attempt, _TWIN_LOOK_S))
    except BudgetExhaustedError as error:
        return _over_budget(attempt, error)
    if reservation.state is not SpendState.RESERVED:
        return _standing(attempt, reservation)
    # another job may have paid for the same picture since this attempt looked
    return attempt.reuse(reservation) or _call(attempt, reservation, circuit)


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
        return _pending(attempt, reservation.wait_s or _LOOK_AGAIN_S)
    if attempt.is_stored():
        # another attempt has stored it since this one looked
        return attempt.settle()
    if reservation.state is SpendState.SETTLED:
        return attempt.fail("result_missing", "The picture was paid but is no longer stored.")
    return attempt.fail(_PAYMENT_UNKNOWN, _UNKNOWN)


def _pending(attempt: Attempt, wait_s: float) -> StageResult:
    """Another attempt's call is under way: its picture may be there at the next look."""
    message = "Another attempt sent the paid call; waiting for its answer."
    return attempt.later("payment_pending", message, min(wait_s, _LOOK_AGAIN_S))


def _call(attempt: Attempt, reservation: Reservation, circuit: CircuitCall) -> StageResult:
    services, ledger, entry_id = attempt.services, attempt.services.ledger, reservation.entry_id
    try:
        placed = services.nano_banana.place(
            services.storage.read(attempt.output_of(Stage.REALESRGAN)),
            attempt.options.prompt,
            aspect_ratio=attempt.options.aspect_ratio.value,
            image_size=attempt.options.image_size,
            job_id=attempt.job_id,
            on_send=lambda: ledger.mark_sent(entry_id, attempt.order.run),
        )
    except NotPayableError:
        return attempt.cancel()
    except AlreadySentError:
        return _pending(attempt, _LOOK_AGAIN_S)
    except PaymentUnknownError as error:
        circuit.failed(error.code)
        ledger.mark_unknown(entry_id, error.message)
        return attempt.fail(_PAYMENT_UNKNOWN, f"{_UNKNOWN} ({error.message})")
    except NanoBananaError as error:
        wait_s = _tell_circuit(attempt, circuit, error)
        ledger.release(entry_id, error.code)
        return _not_charged(attempt, reservation, error, wait_s)
    except Exception:
        # after sending this is unknown, before it nothing happened: the ledger knows which
        ledger.abandon(entry_id)
        raise
    circuit.answered()
    services.storage.write(attempt.target, _as_png(placed), _PNG, overwrite=False)
    return attempt.settle()


def _tell_circuit(attempt: Attempt, circuit: CircuitCall, error: NanoBananaError) -> float | None:
    """What an error that certainly cost nothing says to the other jobs.

    Returns the seconds that all of them wait, None where the error is this job's alone.
    """
    if isinstance(error, ServiceUnavailableError):
        circuit.failed(error.code)
    elif isinstance(error, OutOfServiceError):
        return circuit.hold(error.code)
    elif isinstance(error, RateLimitedError) and not _is_beyond(attempt, error):
        return circuit.hold(error.code, error.retry_after_s)
    else:
        circuit.answered()
    return None


def _is_beyond(attempt: Attempt, error: RateLimitedError) -> bool:
    """True for a wait that no job is kept for."""
    return (error.retry_after_s or 0.0) > attempt.services.settings.nano_banana.retry.retry_after_s


def _not_charged(
    attempt: Attempt, reservation: Reservation, error: NanoBananaError, wait_s: float | None
) -> StageResult:
    """What an error that certainly cost nothing means for the job."""
    if isinstance(error, ServiceUnavailableError):
        raise attempt.transient(error.code, error.message) from error
    if wait_s is not None:
        return attempt.later(error.code, error.message, wait_s)
    if isinstance(error, RateLimitedError):
        message = (
            f"The image model asks to wait {error.retry_after_s:.0f} s: its quota is used up. "
            "Retry the job when the quota is renewed."
        )
        return attempt.fail("nano_banana_quota_exhausted", message)
    if isinstance(error, OddAnswerError):
        if reservation.released_for != error.code:
            return attempt.later(error.code, f"{error.message} It is asked once more.", _ODD_WAIT_S)
        return attempt.fail(error.code, error.message)
    if isinstance(error, NoPictureError):
        return attempt.reject(error.code, error.message)
    return attempt.fail(error.code, error.message)


def _as_png(placed: PlacedImage) -> bytes:
    """The picture as PNG whatever the model sent, as the blob's name promises; nothing personal in it."""
    if placed.content_type == _PNG:
        return without_personal_metadata(placed.data)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(placed.data)) as image:
        image.save(buffer, "PNG", compress_level=1)
    return without_personal_metadata(buffer.getvalue())
