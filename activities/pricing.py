"""What a job's picture costs: as it is ordered, and as it came."""

from __future__ import annotations

from activities.attempt import Attempt
from imagery.database.paid_answers import PaidAnswer
from imagery.prices import PictureOrder, size_class
from imagery.providers.errors import NanoBananaError
from imagery.providers.protocol import Provider
from imagery.providers.response import PlacedImage
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)


def order_of(attempt: Attempt, provider: Provider) -> PictureOrder:
    """The picture that a job asks for, at this provider."""
    return PictureOrder(provider.name, provider.model, attempt.options.image_size)


def price_of(attempt: Attempt, provider: Provider) -> int:
    """Micro USD that the job's picture is expected to cost there."""
    table = attempt.services.settings.nano_banana.price_table
    return table.of_order(attempt.options.image_size, provider.model)


def record_answer(attempt: Attempt, provider: Provider, entry_id: int, placed: PlacedImage) -> None:
    """Keep what came, and what it costs, before the picture is stored.

    A database that is away does not take the picture with it: the call is then settled at the price of the
    order.
    """
    size = size_class(placed.width, placed.height)
    price = attempt.services.settings.nano_banana.price_table.of_answer(
        order_of(attempt, provider), placed.model, size, placed.usage
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


def charged_refusal(attempt: Attempt, provider: Provider, error: NanoBananaError) -> PaidAnswer | None:
    """What an answer without a picture costs. Returns None where it costs nothing."""
    if not error.said:
        return None
    price = attempt.services.settings.nano_banana.price_table.of_refusal(
        order_of(attempt, provider), error.said["model"], error.said["usage"]
    )
    return PaidAnswer(price_micro_usd=price, **error.said) if price else None
