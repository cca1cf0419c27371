"""From a paid answer to the picture that is delivered. Nothing here pays, and each step can be repeated."""

from __future__ import annotations

from collections.abc import Callable

from activities.attempt import Attempt
from activities.derive import derive
from activities.signing import LOOK_AGAIN_S, PAID, PNG, already_signed, signed, take_signed
from imagery.contracts import BlobRef, CheckResult, StageResult, paid_answer
from imagery.database.ledger import Reservation
from imagery.database.signatures import Signature
from imagery.guardrail.content_safety import ContentSafetyUnavailableError
from imagery.guardrail.sandbox import SandboxError
from imagery.guardrail.turns import Turn
from imagery.providers.response import PlacedImage
from imagery.storage import StorageError
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
REJECTED = "placed_picture_rejected"


def store_answer(attempt: Attempt, placed: PlacedImage) -> BlobRef:
    """Keep the provider's bytes as they came. From here on the call counts as answered."""
    answer = paid_answer(attempt.job_id, attempt.stage, attempt.order.run)
    return attempt.services.storage.write(answer, placed.data, placed.content_type, overwrite=False)


def stored_answer(attempt: Attempt) -> BlobRef | None:
    """The paid answer that an earlier attempt, or run, has stored. Returns None if there is none."""
    runs = attempt.services.ledger.answered_runs(attempt.job_id, attempt.order.run, attempt.stage)
    answers = [paid_answer(attempt.job_id, attempt.stage, run) for run in runs]
    return next((each for each in answers if attempt.services.storage.exists(each)), None)


def deliver(attempt: Attempt, answer: BlobRef) -> StageResult:
    """Settle what was paid, then derive the picture, judge it, sign it and give it its name.

    A step that can't be taken now is waited for, up to the job's deadline.
    """
    attempt.settle()
    return _waiting(attempt, lambda: _deliver(attempt, answer))


def finish(attempt: Attempt) -> StageResult:
    """Record a picture that an attempt has stored and could not record."""
    return _waiting(attempt, lambda: already_signed(attempt))


def take(attempt: Attempt, reservation: Reservation | None = None) -> StageResult | None:
    """Take a paid picture over from an earlier job, signed for this one. See ``Attempt.reuse``."""
    try:
        return attempt.reuse(reservation, take_signed)
    except SandboxError as error:
        if reservation is not None:
            attempt.services.ledger.release(reservation.entry_id, "its picture is paid, and waits")
        return attempt.later(error.code, f"{PAID} {error}", LOOK_AGAIN_S)


def _deliver(attempt: Attempt, answer: BlobRef) -> Signature | StageResult | None:
    services = attempt.services
    came = services.storage.read(answer)
    picture = derive(came)
    objection = services.guardrail.judge(picture, Turn(attempt.job.owner_id))
    if objection is not None:
        return _rejected(attempt, answer, objection)
    delivery = signed(attempt, picture, came)
    if isinstance(delivery, StageResult):
        return delivery
    services.storage.write(attempt.target, delivery.data, PNG, overwrite=False)
    return delivery.signature


def _waiting(attempt: Attempt, step: Callable[[], Signature | StageResult | None]) -> StageResult:
    try:
        done = step()
    except (SandboxError, ContentSafetyUnavailableError) as error:
        return attempt.later(error.code, f"{PAID} {error}", LOOK_AGAIN_S)
    except StorageError as error:
        _log.warning("delivery_failed", error=str(error))
        return attempt.later("storage_unavailable", f"{PAID} The store does not respond.", LOOK_AGAIN_S)
    except Exception as error:
        # to give up would mean to pay again: the job waits for whoever mends it, up to its deadline
        _log.exception("delivery_failed")
        why = f"An unexpected {type(error).__name__} interrupted it."
        return attempt.later("delivery_failed", f"{PAID} {why}", LOOK_AGAIN_S)
    return done if isinstance(done, StageResult) else attempt.succeed_paid(done)


def _rejected(attempt: Attempt, answer: BlobRef, objection: CheckResult) -> StageResult:
    """The model was paid for a picture that nobody gets. A retry may bring another one, and pays again."""
    _log.warning(REJECTED, check=objection.name, measured=objection.measured, blob=answer.path)
    message = (
        f"The image model was paid for a picture that is not delivered: {objection.name} measured "
        f"{objection.measured} ({objection.limit}). A retry asks for another picture and pays again."
    )
    return attempt.reject_paid(REJECTED, message)
