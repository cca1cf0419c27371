"""``max_usd``: nothing is started that costs more than the caller wants to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from api.errors import ApiError
from imagery.contracts import JobOptions
from imagery.database.money import to_micro, to_usd
from imagery.services import get_services

Options = TypeVar("Options", bound=JobOptions)


def check_price(options: JobOptions) -> None:
    """Raise ``ApiError`` 402 for a picture that costs more than its request allows."""
    if options.max_usd is not None:
        _check(price_of(options), options.max_usd, f"A picture of {options.image_size}")


def check_sum(items: Sequence[JobOptions], max_usd: float | None) -> None:
    """Raise ``ApiError`` 402 for pictures that cost more than ``max_usd`` together."""
    if max_usd is not None:
        _check(sum(map(price_of, items)), max_usd, f"The batch of {len(items)}")


def shared(items: Sequence[Options], max_usd: float | None) -> list[Options]:
    """The items, each with its part of ``max_usd``, so that all of them can't pay more than that."""
    total = sum(map(price_of, items))
    if max_usd is None or total == 0:
        return list(items)
    most = to_micro(max_usd)
    return [_within(item, to_usd(most * price_of(item) // total)) for item in items]


def price_of(options: JobOptions) -> int:
    """Micro USD that the picture of these options is expected to cost."""
    return get_services().settings.nano_banana.price_table.of_options(options)


def _within(item: Options, usd: float) -> Options:
    own = item.max_usd
    return item.model_copy(update={"max_usd": usd if own is None else min(own, usd)})


def _check(micro_usd: int, max_usd: float, what: str) -> None:
    if micro_usd > to_micro(max_usd):
        detail = (
            f"{what} costs ${to_usd(micro_usd):.6g}, and max_usd allows ${max_usd:.6g}. Nothing was started. "
            "Raise max_usd, or choose a smaller image_size."
        )
        raise ApiError(402, "price_above_max", detail)
