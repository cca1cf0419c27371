"""What the image model sends back: a picture, or the reason why there is none."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import httpx

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.providers.errors import NoPictureError, PaymentUnknownError

MAX_TEXT = 300
_MAX_ANSWER_MEGAPIXELS = 100.0  # 4K at the widest aspect ratio has about 25
_DEFAULT_RETRY_AFTER_S = 10.0
_SAFETY_REASONS = {"IMAGE_SAFETY", "SAFETY", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "BLOCKLIST"}
_EXTENSIONS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True)
class PlacedImage:
    """The model's picture as it came; ``width`` and ``height`` in pixels."""

    data: bytes
    content_type: str
    width: int
    height: int
    model: str


def json_of(answer: bytes) -> dict[str, Any]:
    """The JSON object of a response with status 200. Raises ``PaymentUnknownError``."""
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PaymentUnknownError("The response is not valid JSON.") from error
    if not isinstance(body, dict):
        raise PaymentUnknownError("The response is not a JSON object.")
    return body


def picture_of(body: dict[str, Any], model: str) -> PlacedImage:
    """The first picture of a response with status 200, which alone does not mean success."""
    try:
        return _first_picture(body, model)
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise PaymentUnknownError("The response does not have the documented shape.") from error


def _first_picture(body: dict[str, Any], model: str) -> PlacedImage:
    blocked = body.get("promptFeedback", {}).get("blockReason")
    if blocked:
        raise NoPictureError("nano_banana_safety", f"The image model blocked the request ({blocked}).")
    candidates = body.get("candidates") or []
    if not candidates:
        raise PaymentUnknownError("The response holds neither a picture nor a reason.")
    candidate = candidates[0]
    every = (candidate.get("content") or {}).get("parts") or []
    parts = [part for part in every if not part.get("thought")]  # drafts are not the result
    text = " ".join(part["text"] for part in parts if "text" in part)[:MAX_TEXT]
    inline = next((part["inlineData"] for part in parts if "inlineData" in part), None)
    if inline is not None:
        return _decoded(inline["data"], str(body.get("modelVersion") or model))
    reason = str(candidate.get("finishReason") or "NO_IMAGE")
    said = f" It said: {text}" if text else ""
    if reason in _SAFETY_REASONS:
        raise NoPictureError("nano_banana_safety", f"The image model rejected the picture ({reason}).{said}")
    raise NoPictureError("nano_banana_no_image", f"The image model made no picture ({reason}).{said}")


def _decoded(data: str, model: str) -> PlacedImage:
    try:
        raw = base64.b64decode(data, validate=True)
        with open_picture(raw, list(_EXTENSIONS), _MAX_ANSWER_MEGAPIXELS) as image:
            image.load()
            kind = _EXTENSIONS[str(image.format)]
            return PlacedImage(raw, kind, image.width, image.height, model)
    except (binascii.Error, *DECODE_ERRORS) as error:
        raise PaymentUnknownError("The picture in the response can't be decoded.") from error


def google_error(answer: bytes) -> dict[str, Any]:
    """Google's error object of a response with another status; empty if it has none."""
    try:
        error = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def retry_after_s_of(error: dict[str, Any], headers: httpx.Headers) -> float:
    """Seconds from RetryInfo (``"27s"``), else from Retry-After, else a default."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            seconds = _seconds(str(detail.get("retryDelay", "")).removesuffix("s"))
            if seconds is not None:
                return seconds
    seconds = _seconds(headers.get("Retry-After", ""))
    return _DEFAULT_RETRY_AFTER_S if seconds is None else seconds


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
