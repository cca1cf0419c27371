"""The paid call of a reservation: made once, and what each of its ends means for ledger, circuit and job."""

from __future__ import annotations

from activities.attempt import Attempt
from activities.deliver import deliver, store_answer
from activities.pricing import charged_refusal, record_answer
from imagery.contracts import Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.ledger import AlreadySentError, NotPayableError, Reservation
from imagery.providers.errors import (
    NanoBananaError,
    NoPictureError,
    OddAnswerError,
    OutOfServiceError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)

PAYMENT_UNKNOWN = "payment_unknown"
UNKNOWN = (
    "The paid call went out but its answer was lost, so it may have been charged. It is not repeated "
    "by itself; an operator has to settle it."
)
LOOK_AGAIN_S = 20.0
_ODD_WAIT_S = 2.0


def pay(attempt: Attempt, reservation: Reservation, circuit: CircuitCall) -> StageResult:
    """Make the call of a reservation, once, and record how it ends.

    Raises ``TransientStageError`` where it certainly was not charged and a retry may help.
    """
    services, ledger, entry_id = attempt.services, attempt.services.ledger, reservation.entry_id
    try:
        placed = services.nano_banana.place(
            services.storage.read(attempt.output_of(Stage.REALESRGAN)),
            attempt.options.prompt,
            aspect_ratio=attempt.options.aspect_ratio.value,
            image_size=attempt.options.image_size,
            thinking_level=attempt.options.thinking_level,
            seed=attempt.options.seed,
            job_id=attempt.job_id,
            on_send=lambda: ledger.mark_sent(entry_id, attempt.order.run),
        )
    except NotPayableError:
        return attempt.cancel()
    except AlreadySentError:
        return pending(attempt, LOOK_AGAIN_S)
    except PaymentUnknownError as error:
        circuit.failed(error.code)
        ledger.mark_unknown(entry_id, error.message)
        return attempt.fail(PAYMENT_UNKNOWN, f"{UNKNOWN} ({error.message})")
    except NanoBananaError as error:
        wait_s = _tell_circuit(attempt, circuit, error)
        refusal = charged_refusal(attempt, error)
        if refusal is not None:
            ledger.settle_refusal(entry_id, error.code, refusal)
            end = attempt.reject if isinstance(error, NoPictureError) else attempt.fail
            return end(error.code, f"{error.message} The provider has charged for that.")
        ledger.release(entry_id, error.code)
        return _not_charged(attempt, reservation, error, wait_s)
    except Exception:
        # after sending this is unknown, before it nothing happened: the ledger knows which
        ledger.abandon(entry_id)
        raise
    circuit.answered()
    record_answer(attempt, entry_id, placed)
    return deliver(attempt, store_answer(attempt, placed))


def pending(attempt: Attempt, wait_s: float) -> StageResult:
    """Another attempt's call is under way: its picture may be there at the next look."""
    message = "Another attempt sent the paid call; waiting for its answer."
    return attempt.later("payment_pending", message, min(wait_s, LOOK_AGAIN_S))


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
