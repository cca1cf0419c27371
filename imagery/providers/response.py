"""What the image model sends back: a picture, or the reason why there is none.

Its answers are wider than their documentation: drafts before the final picture, a picture in the second
candidate or at an address, url-safe base64, a picture flagged as a thought, null where an object should be.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.providers.errors import NoPictureError, OddAnswerError, PaymentUnknownError

MAX_TEXT = 300
_MAX_NAME = 100
_MAX_ANSWER_MEGAPIXELS = 100.0  # 4K at the widest aspect ratio has about 25
# pictures of one answer that are looked at, the last ones first: the final one comes last
_MAX_PICTURES = 16
_EXTENSIONS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
# the model, or a filter around it, judged what was sent or made
SAFETY_REASONS = frozenset(
    {
        "BLOCKLIST",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_SAFETY",
        "JAILBREAK",
        "MODEL_ARMOR",
        "PROHIBITED_CONTENT",
        "RECITATION",
        "SAFETY",
        "SPII",
    }
)
# the model failed at what it does well the next time
ODD_REASONS = frozenset(
    {
        "IMAGE_OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "OTHER",
        "UNEXPECTED_TOOL_CALL",
    }
)
# returns the bytes behind an address; raises ``PaymentUnknownError``
Fetch = Callable[[str], bytes]


@dataclass(frozen=True)
class PlacedImage:
    """The model's picture as it came; ``width`` and ``height`` in pixels.

    ``model``: the version that responded. ``usage``: ``usageMetadata`` as it came; ``text``: what the model
    said beside the picture. ``response_id``: the service's name for the call, "" where it gave none.
    """

    data: bytes
    content_type: str
    width: int
    height: int
    model: str
    response_id: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class _Found:
    """A picture of an answer. ``is_thought``: the model flagged it as a draft."""

    data: bytes
    width: int
    height: int
    is_thought: bool

    @property
    def rank(self) -> tuple[bool, int]:
        """The larger the better; of equals the last one counts."""
        return not self.is_thought, self.width * self.height


def json_of(answer: bytes) -> dict[str, Any]:
    """The JSON object of a response with status 200. Raises ``PaymentUnknownError``."""
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PaymentUnknownError("The response is not valid JSON.") from error
    if not isinstance(body, dict):
        raise PaymentUnknownError("The response is not a JSON object.")
    return body


def picture_of(body: dict[str, Any], model: str, fetch: Fetch) -> PlacedImage:
    """The picture of a response with status 200, which alone does not mean success.

    The largest one that is no draft; of several the last. Where all are flagged as drafts, the largest of
    those. Raises ``NoPictureError``, ``OddAnswerError``, ``PaymentUnknownError``.
    """
    try:
        return _picture(body, model, fetch)
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise PaymentUnknownError("The response does not have the documented shape.") from error


def _picture(body: dict[str, Any], model: str, fetch: Fetch) -> PlacedImage:
    candidates = body.get("candidates") or []
    parts = [part for candidate in candidates for part in _parts(candidate)]
    carriers = [part for part in parts if _inline(part) or _address(part)][-_MAX_PICTURES:]
    if carriers:
        found: list[_Found] = []
        lost: PaymentUnknownError | None = None
        for part in carriers:
            try:
                picture = _decoded_head(part, fetch)
            except PaymentUnknownError as error:
                # another part may have the picture all the same
                lost = error
                continue
            if picture is not None:
                found.append(picture)
        # the best one last, and of equals the last one
        ranked = sorted(found, key=lambda each: each.rank)
        while ranked:
            best = ranked.pop()
            kind = _decodes(best.data)
            if kind is not None:
                return PlacedImage(best.data, kind, best.width, best.height, **_said_of(body, parts, model))
        raise lost or PaymentUnknownError("The picture in the response can't be decoded.")
    why = _why(body, candidates, parts)
    why.said = _said_of(body, parts, model)
    raise why


def _said_of(body: dict[str, Any], parts: list[dict[str, Any]], model: str) -> dict[str, Any]:
    """What a response says beside its picture; whatever has another shape than documented is left out."""
    usage = body.get("usageMetadata")
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str) and not part.get("thought")]
    return {
        "model": str(body.get("modelVersion") or model)[:_MAX_NAME],
        "response_id": str(body.get("responseId") or "")[:_MAX_NAME],
        "usage": usage if isinstance(usage, dict) else {},
        "text": " ".join(texts)[:MAX_TEXT],
    }


def _parts(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = (candidate.get("content") or {}).get("parts") or []
    return parts


def _inline(part: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = part.get("inlineData") or part.get("inline_data")
    return found


def _address(part: dict[str, Any]) -> str | None:
    file = part.get("fileData") or part.get("file_data") or {}
    address: str | None = file.get("fileUri") or file.get("file_uri")
    return address


def _decoded_head(part: dict[str, Any], fetch: Fetch) -> _Found | None:
    """The picture of a part with the size that its header states. Returns None if it is none."""
    inline, address = _inline(part), _address(part)
    try:
        data = base64_of(inline["data"]) if inline else fetch(str(address))
        with open_picture(data, list(_EXTENSIONS), _MAX_ANSWER_MEGAPIXELS) as image:
            return _Found(data, image.width, image.height, bool(part.get("thought")))
    except (binascii.Error, UnicodeError, *DECODE_ERRORS):
        return None


def base64_of(text: str) -> bytes:
    """The bytes of base64: either alphabet, line breaks, no padding. Raises ``binascii.Error``."""
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _decodes(data: bytes) -> str | None:
    """The content type by content. Returns None if the picture can't be decoded to its end."""
    try:
        with open_picture(data, list(_EXTENSIONS), _MAX_ANSWER_MEGAPIXELS) as image:
            image.load()
            return _EXTENSIONS[str(image.format)]
    except DECODE_ERRORS:
        return None


def _why(
    body: dict[str, Any], candidates: list[dict[str, Any]], parts: list[dict[str, Any]]
) -> NoPictureError | OddAnswerError | PaymentUnknownError:
    """Why there is no picture."""
    feedback = body.get("promptFeedback") or {}
    blocked = feedback.get("blockReason")
    if blocked:
        said = _said(feedback.get("blockReasonMessage"))
        return NoPictureError("nano_banana_safety", f"The image model blocked the request ({blocked}).{said}")
    if not candidates:
        return PaymentUnknownError("The response holds neither a picture nor a reason.")
    reasons = [str(each.get("finishReason") or "NO_IMAGE") for each in candidates]
    texts = [part["text"] for part in parts if part.get("text") and not part.get("thought")]
    said = _said(*(each.get("finishMessage") for each in candidates), *texts)
    safety = next((reason for reason in reasons if reason in SAFETY_REASONS), None)
    if safety is not None:
        return NoPictureError("nano_banana_safety", f"The image model rejected the picture ({safety}).{said}")
    message = f"The image model made no picture ({reasons[0]}).{said}"
    if reasons[0] in ODD_REASONS:
        return OddAnswerError("nano_banana_no_image", message)
    return NoPictureError("nano_banana_no_image", message)


def _said(*texts: str | None) -> str:
    text = " ".join(str(each) for each in texts if each)[:MAX_TEXT]
    return f" It said: {text}" if text else ""
