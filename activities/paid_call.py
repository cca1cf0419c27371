"""The paid call of a reservation: made once, and what each of its ends means for ledger, circuit and job."""

from __future__ import annotations

from activities.attempt import Attempt
from activities.deliver import deliver, store_answer
from activities.pricing import charged_refusal, record_answer
from imagery.contracts import Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.circuits import CircuitOpenError
from imagery.database.ledger import AlreadySentError, NotPayableError, Reservation
from imagery.providers.errors import (
    ELSEWHERE,
    NanoBananaError,
    NoPictureError,
    OddAnswerError,
    OutOfServiceError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.protocol import Provider

PAYMENT_UNKNOWN = "payment_unknown"
UNKNOWN = (
    "The paid call went out but its answer was lost, so it may have been charged. It is not repeated "
    "by itself; an operator has to settle it."
)
LOOK_AGAIN_S = 20.0
_ODD_WAIT_S = 2.0


class NotChargedError(Exception):
    """A provider's trouble, which another one may not have. ``wait_s``: how long all jobs wait for it.

    ``reservation``: that of the call.
    """

    def __init__(self, error: NanoBananaError, wait_s: float | None, reservation: Reservation) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s
        self.reservation = reservation


def pay(attempt: Attempt, reservation: Reservation, provider: Provider, circuit: CircuitCall) -> StageResult:
    """Make the call of a reservation, once, and record how it ends.

    Raises ``NotChargedError`` where it certainly was not charged and another provider may do it.
    """
    services, ledger, entry_id = attempt.services, attempt.services.ledger, reservation.entry_id
    try:
        placed = provider.place(
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
        refusal = charged_refusal(attempt, provider, error)
        if refusal is not None:
            ledger.settle_refusal(entry_id, error.code, refusal)
            end = attempt.reject if isinstance(error, NoPictureError) else attempt.fail
            return end(error.code, f"{error.message} The provider has charged for that.")
        ledger.release(entry_id, error.code)
        if isinstance(error, ELSEWHERE):
            raise NotChargedError(error, wait_s, reservation) from error
        return _of_this_job(attempt, reservation, error)
    except Exception:
        # after sending this is unknown, before it nothing happened: the ledger knows which
        ledger.abandon(entry_id)
        raise
    circuit.answered()
    record_answer(attempt, provider, entry_id, placed)
    return deliver(attempt, store_answer(attempt, placed))


def none_paid(attempt: Attempt, without: list[CircuitOpenError | NotChargedError]) -> StageResult:
    """What it means for the job that no provider was charged: it waits for the one that is back first.

    Raises ``TransientStageError`` where a retry may help.
    """
    waiting = [each for each in without if each.wait_s is not None]
    if waiting:
        return _wait_for(attempt, min(waiting, key=lambda each: each.wait_s or 0.0))
    errors = [each.error for each in without if isinstance(each, NotChargedError)]
    for error in errors:
        if isinstance(error, ServiceUnavailableError):
            raise attempt.transient(error.code, error.message) from error
    return _used_up(attempt, errors[0])


def _wait_for(attempt: Attempt, trouble: CircuitOpenError | NotChargedError) -> StageResult:
    if isinstance(trouble, CircuitOpenError):
        return attempt.circuit_open(trouble)
    return attempt.later(trouble.error.code, trouble.error.message, trouble.wait_s or 0.0)


def _used_up(attempt: Attempt, error: NanoBananaError) -> StageResult:
    """No wait of this job's brings the quota back."""
    if isinstance(error, RateLimitedError):
        message = (
            f"The image model asks to wait {error.retry_after_s:.0f} s: its quota is used up. "
            "Retry the job when the quota is renewed."
        )
        return attempt.fail("nano_banana_quota_exhausted", message)
    return attempt.fail(error.code, error.message)


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


def _of_this_job(attempt: Attempt, reservation: Reservation, error: NanoBananaError) -> StageResult:
    """What an error that certainly cost nothing, and that another provider would bring too, means."""
    if isinstance(error, OddAnswerError):
        if reservation.released_for != error.code:
            return attempt.later(error.code, f"{error.message} It is asked once more.", _ODD_WAIT_S)
        return attempt.fail(error.code, error.message)
    if isinstance(error, NoPictureError):
        return attempt.reject(error.code, error.message)
    return attempt.fail(error.code, error.message)
