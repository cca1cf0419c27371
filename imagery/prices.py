"""What a picture of the image model costs: by model and size class, or by the tokens that it took.

Money is whole millionths of USD, so that sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from imagery.contracts import ImageSize, JobOptions

MICRO = 1_000_000
MOST_USD = 1000
_SIDES = {ImageSize.K1: 1024, ImageSize.K2: 2048, ImageSize.K4: 4096}
_TOKEN_WORDS = ("input_tokens", "output_tokens", "image_tokens")
# an answer that counts more is not believed: a picture takes some thousand
_MOST_TOKENS = 10_000_000


class PriceError(ValueError):
    """A text of prices that can't be read; the text of the error says how it is written."""


@dataclass(frozen=True)
class PictureOrder:
    """What is asked of a provider: a picture of this size class from this model."""

    provider: str
    model: str
    size: ImageSize


@dataclass(frozen=True)
class ModelPrice:
    """One model: micro USD of a picture by size class, and USD of a million tokens by kind of token.

    ``image_tokens`` are those that a picture is made of, ``output_tokens`` all others that the model
    returned or thought; without a price of their own, ``image_tokens`` cost as ``output_tokens`` do.
    """

    sizes: Mapping[ImageSize, int] = field(default_factory=dict, hash=False)
    tokens: Mapping[str, Decimal] = field(default_factory=dict, hash=False)

    def of_usage(self, usage: Mapping[str, Any]) -> int | None:
        """Micro USD of what ``usageMetadata`` counts. Returns None without token prices or fit counts."""
        counts = _counts(usage)
        if not self.tokens or counts is None:
            return None
        output = self.tokens.get("output_tokens", Decimal())
        usd = {"image_tokens": output, **self.tokens}
        # USD a million tokens are micro USD a token
        micro = round(sum((usd.get(kind, Decimal()) * number for kind, number in counts.items()), Decimal()))
        return micro if micro <= MOST_USD * MICRO else None


@dataclass(frozen=True)
class Prices:
    """The prices of the settings. ``model``: the one that is called now.

    ``bills_refusals``: the provider charges answers without a picture too.
    """

    model: str = ""
    contract_micro_usd: int = 0
    models: Mapping[str, ModelPrice] = field(default_factory=dict, hash=False)
    bills_refusals: bool = False

    @classmethod
    def flat(cls, usd: float) -> Prices:
        """The same price for every picture."""
        return cls(contract_micro_usd=round(usd * MICRO))

    def of_order(self, size: ImageSize, model: str | None = None) -> int:
        """Micro USD that a picture of this size class is expected to cost."""
        known = self.models.get(model or self.model, ModelPrice())
        return known.sizes.get(size, self.contract_micro_usd)

    def of_options(self, options: JobOptions) -> int:
        """Micro USD that the picture of a job with these options is expected to cost; 0 without a scene."""
        return self.of_order(options.image_size) if options.output.has_scene else 0

    def of_answer(self, order: PictureOrder, answered: str, size: ImageSize, usage: Mapping[str, Any]) -> int:
        """Micro USD of a picture that came: by its tokens where they have prices, else by its size class.

        ``answered``: the version that responded; where it has no prices, those of the ordered model count.
        """
        known = self._known(order, answered)
        # a picture is made of tokens: a usage without them is not whole
        by_tokens = known.of_usage(usage) if usage.get("candidatesTokenCount") else None
        return known.sizes.get(size, self.contract_micro_usd) if by_tokens is None else by_tokens

    def of_refusal(self, order: PictureOrder, answered: str, usage: Mapping[str, Any]) -> int:
        """Micro USD of an answer without a picture; 0 where the provider does not charge it."""
        if not self.bills_refusals:
            return 0
        by_tokens = self._known(order, answered).of_usage(usage)
        return self.of_order(order.size, order.model) if by_tokens is None else by_tokens

    def _known(self, order: PictureOrder, answered: str) -> ModelPrice:
        return self.models.get(answered) or self.models.get(order.model) or ModelPrice()


def size_class(width: int, height: int) -> ImageSize:
    """The size class whose area is the nearest, as a ratio: a picture of 1376x768 is one of 1K."""
    side = math.sqrt(max(1, width * height))
    return min(_SIDES, key=lambda size: abs(math.log(side / _SIDES[size])))


@lru_cache(maxsize=32)
def models_of(text: str) -> Mapping[str, ModelPrice]:
    """Prices by model, written ``MODEL:1K=USD,2K=USD;MODEL:...``. Raises ``PriceError``."""
    found: dict[str, ModelPrice] = {}
    for entry in filter(None, text.split(";")):
        model, colon, words = entry.rpartition(":")
        if not colon or not model or not words:
            raise PriceError(f"write MODEL:1K=USD,2K=USD instead of '{entry}'")
        if model in found:
            raise PriceError(f"the model '{model}' is named twice")
        prices = dict(_prices(model, words))
        found[model] = ModelPrice(
            sizes={size: _micro(model, size, prices[size]) for size in ImageSize if size in prices},
            tokens={kind: prices[kind] for kind in _TOKEN_WORDS if kind in prices},
        )
    return found


def _prices(model: str, words: str) -> Iterator[tuple[str, Decimal]]:
    allowed = [*ImageSize, *_TOKEN_WORDS]
    seen: set[str] = set()
    for pair in words.split(","):
        word, _, usd = pair.partition("=")
        if word not in allowed:
            raise PriceError(f"{model} has no price of '{word}': it takes {', '.join(allowed)}")
        if word in seen:
            raise PriceError(f"{model} has two prices of {word}")
        seen.add(word)
        yield word, _usd(model, word, usd)


def _usd(model: str, word: str, text: str) -> Decimal:
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= MOST_USD:
        raise PriceError(f"the price of {model} {word} is not a number of USD from 0 to {MOST_USD}")
    return usd


def _micro(model: str, size: ImageSize, usd: Decimal) -> int:
    micro = usd * MICRO
    if micro != int(micro):
        raise PriceError(f"the price of {model} {size} has more than six decimals")
    return int(micro)


def _counts(usage: Mapping[str, Any]) -> dict[str, int] | None:
    """Tokens by kind of price. Returns None if the usage has no counts, or none that can be believed."""
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    given = {name: _count(usage[name]) for name in names if usage.get(name) is not None}
    details = usage.get("candidatesTokensDetails")
    of_picture = [
        _count(each.get("tokenCount"))
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("modality") == "IMAGE"
    ]
    if not given or min(*given.values(), *of_picture, 0) < 0:
        return None
    made = given.get("candidatesTokenCount", 0)
    # without details, what came with a picture is the picture
    image = min(sum(of_picture), made) if of_picture else made
    others = made - image + given.get("thoughtsTokenCount", 0)
    return {"input_tokens": given.get("promptTokenCount", 0), "output_tokens": others, "image_tokens": image}


def _count(value: Any) -> int:
    """A number of tokens; -1 for what can't be one."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MOST_TOKENS else -1
