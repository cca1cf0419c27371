"""Stage 3, the paid one: place the cut-out in a scene (Nano Banana). It pays at most once a run."""

from __future__ import annotations

import io

from PIL import Image

from activities.stage import failed, refused, retry_later, run_stage, succeeded, transient
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
from imagery.database.stages import Begun
from imagery.nano_banana import (
    NanoBananaError,
    PaymentUnknown,
    PlacedImage,
    RateLimited,
    Refused,
    ServiceUnavailable,
)
from imagery.png import without_personal_metadata
from imagery.services import Services
from imagery.spend import AlreadySentError, NotPayableError, Reservation, SpendState

_PNG = "image/png"
_PAYMENT_UNKNOWN = "payment_unknown"
_LOOK_AGAIN_S = 20.0
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
        return _settle(services, order, target)
    price = services.settings.nano_banana_price_usd
    try:
        reservation = services.ledger.reserve(order.job_id, order.run, Stage.NANO_BANANA, price)
    except NotPayableError:
        return StageOutcome(stage=Stage.NANO_BANANA, outcome=Outcome.CANCELLED)
    if reservation.state is not SpendState.RESERVED:
        return _standing(services, order, reservation)
    return _call(services, order, begun, reservation, target)


def _standing(services: Services, order: StageInput, reservation: Reservation) -> StageOutcome:
    """Answer for an entry that this attempt may not touch."""
    if reservation.state is SpendState.SENT:
        return _pending(services, order, reservation.wait_s or _LOOK_AGAIN_S)
    if reservation.state is SpendState.SETTLED:
        return failed(services, order, "result_missing", "The picture was paid but is no longer stored.")
    return failed(services, order, _PAYMENT_UNKNOWN, _UNKNOWN)


def _pending(services: Services, order: StageInput, wait_s: float) -> StageOutcome:
    """Another attempt's call is under way: its picture may be there at the next look."""
    message = "Another attempt sent the paid call; waiting for its answer."
    return retry_later(services, order, "payment_pending", message, min(wait_s, _LOOK_AGAIN_S))


def _call(
    services: Services, order: StageInput, begun: Begun, reservation: Reservation, target: BlobRef
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
        ledger.mark_unknown(entry_id, error.message)
        return failed(services, order, _PAYMENT_UNKNOWN, f"{_UNKNOWN} ({error.message})")
    except NanoBananaError as error:
        ledger.release(entry_id, error.code)
        return _not_charged(services, order, error)
    except Exception:
        # after sending this is unknown, before it nothing happened: the ledger knows which
        ledger.abandon(entry_id)
        raise
    services.storage.write(target, _as_png(placed), _PNG, overwrite=False)
    return _settle(services, order, target)


def _not_charged(services: Services, order: StageInput, error: NanoBananaError) -> StageOutcome:
    """What an error that certainly cost nothing means for the job."""
    if isinstance(error, ServiceUnavailable):
        raise transient(services, order, error.code, error.message) from error
    if isinstance(error, RateLimited):
        longest = services.settings.nano_banana_max_retry_after_s
        if error.retry_after_s > longest:
            message = (
                f"The image model asks to wait {error.retry_after_s:.0f} s (the limit is {longest:.0f} s): "
                "its quota is used up. Retry the job when the quota is renewed."
            )
            return failed(services, order, "nano_banana_quota_exhausted", message)
        return retry_later(services, order, error.code, error.message, error.retry_after_s)
    if isinstance(error, Refused):
        return refused(services, order, error.code, error.message)
    return failed(services, order, error.code, error.message)


def _settle(services: Services, order: StageInput, target: BlobRef) -> StageOutcome:
    with services.database.write() as session:
        price = services.ledger.settle(session, order.job_id, Stage.NANO_BANANA)
        services.stages.succeed_in(session, order.job_id, Stage.NANO_BANANA, target, _PNG, cost_usd=price)
    return succeeded(Stage.NANO_BANANA, target, price)


def _as_png(placed: PlacedImage) -> bytes:
    """The picture as PNG whatever the model sent, as the blob's name promises; nothing personal in it."""
    if placed.content_type == _PNG:
        return without_personal_metadata(placed.data)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(placed.data)) as image:
        image.save(buffer, "PNG", compress_level=1)
    return without_personal_metadata(buffer.getvalue())
