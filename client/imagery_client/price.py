"""What photos may cost, said before they are sent."""

from __future__ import annotations

from argparse import Namespace

from imagery_client.api import ApiClient
from imagery_client.errors import ClientError, ExitCode
from imagery_client.model import Quote
from imagery_client.output import Output

_MICRO = 1_000_000
# what the API takes as the limit of one picture, micro USD
_MOST_OF_ONE = 1000 * _MICRO
# an API of an earlier version has no quotes
_UNKNOWN = {"not_found", "method_not_allowed"}


async def check_price(api: ApiClient, output: Output, chosen: Namespace, photos: int) -> dict[str, str]:
    """Say what the photos may cost; returns the form fields that hold each job to its share of ``--max-usd``.

    Raises ``ClientError`` where that is too little.
    """
    quote = await _quote(api, chosen, photos)
    if quote is None:
        return {}
    _say(output, quote, is_result=chosen.dry_run)
    if chosen.max_usd is None:
        return {}
    if round(quote.total_usd * _MICRO) > round(chosen.max_usd * _MICRO):
        detail = f"{_photos(photos)} may cost {_usd(quote.total_usd)}, more than {_usd(chosen.max_usd)}."
        way_out = "Nothing was sent. Raise --max-usd, send fewer photos, or choose a smaller --image-size."
        problem = {"code": "price_above_max"}
        raise ClientError("Too expensive", detail, way_out, exit_code=ExitCode.FAILED, problem=problem)
    share = min(round(chosen.max_usd * _MICRO) // photos, _MOST_OF_ONE)
    return {"max_usd": f"{share / _MICRO:.6f}"}


async def _quote(api: ApiClient, chosen: Namespace, photos: int) -> Quote | None:
    options = {
        "output": chosen.output,
        "image_size": chosen.image_size,
        "aspect_ratio": chosen.aspect_ratio,
        "count": photos,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return await api.post("/api/v1/quote", Quote, given)
    except ClientError as error:
        needs_it = chosen.dry_run or chosen.max_usd is not None
        if error.code not in _UNKNOWN or needs_it:
            raise
        return None


def _say(output: Output, quote: Quote, *, is_result: bool) -> None:
    if is_result and output.is_json:
        output.json(quote.to_json())
        return
    left = f"{_usd(quote.remaining_usd)} left today"
    text = f"{_photos(quote.count)}, up to {_usd(quote.total_usd)}; {left}"
    if not quote.fits:
        text += ": not enough for all of them"
    if is_result:
        output.say(text)
    else:
        output.note(text, "dim" if quote.fits else "yellow")


def _photos(number: int) -> str:
    return "1 photo" if number == 1 else f"{number} photos"


def _usd(usd: float) -> str:
    """``$0.24``; with more digits where cents do not say it."""
    exact = f"{usd:.6f}".rstrip("0")
    return f"${usd:.2f}" if len(exact.partition(".")[2]) <= 2 else f"${exact}"
