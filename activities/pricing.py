"""What a job's picture costs: as it is ordered, and as it came."""

from __future__ import annotations

from activities.attempt import Attempt
from imagery.database.paid_answers import PaidAnswer
from imagery.prices import PictureOrder, size_class
from imagery.providers.errors import NanoBananaError
from imagery.providers.response import PlacedImage
from imagery.telemetry.logs import get_logger

_PROVIDER = "gemini_api"
_log = get_logger(__name__)


def order_of(attempt: Attempt) -> PictureOrder:
    """The picture that a job asks for."""
    model = attempt.services.settings.nano_banana.model
    return PictureOrder(_PROVIDER, model, attempt.options.image_size)


def record_answer(attempt: Attempt, entry_id: int, placed: PlacedImage) -> None:
    """Keep what came, and what it costs, before the picture is stored.

    A database that is away does not take the picture with it: the call is then settled at the price of the
    order.
    """
    size = size_class(placed.width, placed.height)
    price = attempt.services.settings.nano_banana.price_table.of_answer(
        order_of(attempt), placed.model, size, placed.usage
    )
    answer = PaidAnswer(
        price_micro_usd=price,
        model=placed.model,
        response_id=placed.response_id,
        usage=placed.usage,
        text=placed.text,
        size=size,
        width=placed.width,
        height=placed.height,
    )
    try:
        attempt.services.ledger.record_answer(entry_id, answer)
    except Exception as error:
        _log.error("answer_not_recorded", entry_id=entry_id, exc_info=error)


def charged_refusal(attempt: Attempt, error: NanoBananaError) -> PaidAnswer | None:
    """What an answer without a picture costs. Returns None where it costs nothing."""
    if not error.said:
        return None
    price = attempt.services.settings.nano_banana.price_table.of_refusal(
        order_of(attempt), error.said["model"], error.said["usage"]
    )
    return PaidAnswer(price_micro_usd=price, **error.said) if price else None
