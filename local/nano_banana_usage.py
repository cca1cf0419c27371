"""The tokens that an answer says it used, in the shape of ``usageMetadata``."""

from __future__ import annotations

from typing import Any

from local.nano_banana_models import MODELS
from local.nano_banana_order import PictureOrder

_CHARS_PER_TOKEN = 4
# made up, as the service says only afterwards how much it thought; "": the model chose
_THOUGHTS = {"MINIMAL": 60, "MEDIUM": 320, "HIGH": 900, "": 480}


def usage(order: PictureOrder, said: str, *, pictures: int) -> dict[str, Any]:
    """What an answer with the text ``said`` and so many pictures used; the total is the sum of the counts."""
    model = MODELS[order.model]
    asked = {"TEXT": _tokens(order.prompt_chars), "IMAGE": model.input_tokens * len(order.images)}
    made = {"TEXT": _tokens(len(said)), "IMAGE": model.picture_tokens[order.size] * pictures}
    thoughts = _THOUGHTS[order.thinking] + _tokens(order.prompt_chars)
    counts: dict[str, Any] = {
        "promptTokenCount": sum(asked.values()),
        "candidatesTokenCount": sum(made.values()),
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": sum(asked.values()) + sum(made.values()) + thoughts,
        "promptTokensDetails": _details(asked),
        "candidatesTokensDetails": _details(made),
    }
    if order.is_vertex:
        counts["trafficType"] = "ON_DEMAND"
    # what came to nothing is left out, as by every message of Google's
    return {name: value for name, value in counts.items() if value}


def _tokens(chars: int) -> int:
    return -(-chars // _CHARS_PER_TOKEN)


def _details(tokens: dict[str, int]) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokenCount": count} for modality, count in tokens.items() if count]
