"""Stage 3, the paid one: place the cut-out in a scene (Nano Banana). It pays at most once a run."""

from __future__ import annotations

import io
from datetime import timedelta

from PIL import Image

from activities.reuse import keep, reuse
from activities.stage import circuit_open, failed, rejected, retry_later, run_stage, succeeded, transient
from imagery.backoff import JITTER, spread
from imagery.contracts import (
    BlobRef,
    JobOptions,
    JsonObject,
    Outcome,
    Stage,
    StageInput,
    StageOutcome,
    stage_output,
)
from imagery.database.budget import BudgetExhaustedError
from imagery.database.circuits import Call, CircuitOpenError, Dependency
from imagery.database.ledger import (
    AlreadySentError,
    NotPayableError,
    Reservation,
    SamePicturePendingError,
)
from imagery.database.money import SpendState
from imagery.database.stages import Begun
from imagery.database.tables import utc_now
from imagery.png import without_personal_metadata
from imagery.providers.nano_banana import (
    NanoBananaError,
    PaymentUnknown,
    PlacedImage,
    RateLimited,
    Refused,
    ServiceUnavailable,
)
from imagery.services import Services

_PNG = "image/png"
_PAYMENT_UNKNOWN = "payment_unknown"
_LOOK_AGAIN_S = 20.0
_TWIN_LOOK_S = 5.0
_LEASE_MARGIN_S = 30.0
_UNKNOWN = (
    "The paid call went out but its answer was lost, so it may have been charged. It is not repeated "
    "by itself; an operator has to settle it."
)


def place(message: JsonObject) -> JsonObject:
    """Activity of the nano_banana stage."""
    return run_stage(message, Stage.NANO_BANANA, _place)


def _place(services: Services, order: StageInput, begun: Begun) -> StageOutcome:
    target = stage_output(order.job_id, Stage.NANO_BANANA)
    if services.storage.exists(target):
        # an earlier attempt stored the paid picture and died before it could say so
        return _settle(services, order, begun, target)
    if not services.ledger.has_unknown(order.job_id):
        reused = reuse(services, order, begun)
        if reused is not None:
            return reused
    lease_s = services.settings.nano_banana.retry.timeout_s + _LEASE_MARGIN_S
    try:
        with services.circuits.call(Dependency.NANO_BANANA, lease_s=lease_s, seed=order.job_id) as circuit:
            return _reserve(services, order, begun, circuit)
    except CircuitOpenError as error:
        return circuit_open(services, order, error)


def _reserve(services: Services, order: StageInput, begun: Begun, circuit: Call) -> StageOutcome:
    price, options = services.settings.nano_banana.price_usd, JobOptions.from_json(begun.job.options)
    same_as = None if options.fresh else services.stage_cache.key(begun.job, Stage.NANO_BANANA)
    try:
        reservation = services.ledger.reserve(
            order.job_id, order.run, Stage.NANO_BANANA, price, same_as=same_as
        )
    except NotPayableError:
        return StageOutcome(stage=Stage.NANO_BANANA, outcome=Outcome.CANCELLED)
    except SamePicturePendingError as error:
        wait = _TWIN_LOOK_S * spread(JITTER, order.job_id)
        return retry_later(services, order, error.code, str(error), wait)
    except BudgetExhaustedError as error:
        return _over_budget(services, order, error)
    if reservation.state is not SpendState.RESERVED:
        return _standing(services, order, begun, reservation)
    return _call(services, order, begun, reservation, circuit)


def _over_budget(services: Services, order: StageInput, error: BudgetExhaustedError) -> StageOutcome:
    """Wait for the next day's budget where the job has the time, else end the job unpaid."""
    wait = error.retry_after_s * spread(JITTER, order.job_id)
    if utc_now() + timedelta(seconds=wait) < order.deadline:
        return retry_later(services, order, error.code, str(error), wait)
    return failed(services, order, error.code, str(error))


def _standing(services: Services, order: StageInput, begun: Begun, reservation: Reservation) -> StageOutcome:
    """Answer for an entry that this attempt may not touch."""
    if reservation.state is SpendState.SENT:
        return _pending(services, order, reservation.wait_s or _LOOK_AGAIN_S)
    target = stage_output(order.job_id, Stage.NANO_BANANA)
    if services.storage.exists(target):
        # another attempt has stored it since this one looked
        return _settle(services, order, begun, target)
    if reservation.state is SpendState.SETTLED:
        return failed(services, order, "result_missing", "The picture was paid but is no longer stored.")
    return failed(services, order, _PAYMENT_UNKNOWN, _UNKNOWN)


def _pending(services: Services, order: StageInput, wait_s: float) -> StageOutcome:
    """Another attempt's call is under way: its picture may be there at the next look."""
    message = "Another attempt sent the paid call; waiting for its answer."
    return retry_later(services, order, "payment_pending", message, min(wait_s, _LOOK_AGAIN_S))


def _call(
    services: Services,
    order: StageInput,
    begun: Begun,
    reservation: Reservation,
    circuit: Call,
) -> StageOutcome:
    entry_id, ledger, options = reservation.entry_id, services.ledger, JobOptions.from_json(begun.job.options)
    try:
        placed = services.nano_banana.place(
            services.storage.read(stage_output(order.job_id, Stage.REALESRGAN)),
            options.prompt,
            aspect_ratio=options.aspect_ratio.value,
            image_size=options.image_size,
            job_id=order.job_id,
            on_send=lambda: ledger.mark_sent(entry_id, order.run),
        )
    except NotPayableError:
        return StageOutcome(stage=Stage.NANO_BANANA, outcome=Outcome.CANCELLED)
    except AlreadySentError:
        return _pending(services, order, _LOOK_AGAIN_S)
    except PaymentUnknown as error:
        circuit.failed(error.code)
        ledger.mark_unknown(entry_id, error.message)
        return failed(services, order, _PAYMENT_UNKNOWN, f"{_UNKNOWN} ({error.message})")
    except NanoBananaError as error:
        if isinstance(error, ServiceUnavailable):
            circuit.failed(error.code)
        else:
            circuit.answered()
        ledger.release(entry_id, error.code)
        return _not_charged(services, order, error)
    except Exception:
        # after sending this is unknown, before it nothing happened: the ledger knows which
        ledger.abandon(entry_id)
        raise
    circuit.answered()
    target = stage_output(order.job_id, Stage.NANO_BANANA)
    services.storage.write(target, _as_png(placed), _PNG, overwrite=False)
    return _settle(services, order, begun, target)


def _not_charged(services: Services, order: StageInput, error: NanoBananaError) -> StageOutcome:
    """What an error that certainly cost nothing means for the job."""
    if isinstance(error, ServiceUnavailable):
        raise transient(services, order, error.code, error.message) from error
    if isinstance(error, RateLimited):
        longest = services.settings.nano_banana.retry.retry_after_s
        if error.retry_after_s > longest:
            message = (
                f"The image model asks to wait {error.retry_after_s:.0f} s (the limit is {longest:.0f} s): "
                "its quota is used up. Retry the job when the quota is renewed."
            )
            return failed(services, order, "nano_banana_quota_exhausted", message)
        return retry_later(services, order, error.code, error.message, error.retry_after_s)
    if isinstance(error, Refused):
        return rejected(services, order, error.code, error.message)
    return failed(services, order, error.code, error.message)


def _settle(services: Services, order: StageInput, begun: Begun, target: BlobRef) -> StageOutcome:
    with services.database.write() as session:
        price = services.ledger.settle(session, order.job_id, Stage.NANO_BANANA)
        services.stages.succeed_in(session, order.job_id, Stage.NANO_BANANA, target, _PNG, cost_usd=price)
    keep(services, order, begun)
    return succeeded(Stage.NANO_BANANA, target, price)


def _as_png(placed: PlacedImage) -> bytes:
    """The picture as PNG whatever the model sent, as the blob's name promises; nothing personal in it."""
    if placed.content_type == _PNG:
        return without_personal_metadata(placed.data)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(placed.data)) as image:
        image.save(buffer, "PNG", compress_level=1)
    return without_personal_metadata(buffer.getvalue())
