"""Nano Banana: the paid call of the Gemini ``generateContent`` shape, made once, every answer classified.

The API has no idempotency key, so what matters about an error is one thing: is it certain that nothing
was executed? Only then may anybody call again.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from imagery.bounded_picture import DECODE_ERRORS, TooManyPixelsError, open_picture
from imagery.settings import Settings
from imagery.telemetry.tracing import SpanType, span

_CONNECT_TIMEOUT_S = 10.0
_MAX_REFERENCE_BYTES = 12 * 1024 * 1024
_WEBP_QUALITY = 92
_MAX_TEXT = 300
_MAX_CONNECTIONS = 100
# a longer answer is not read to its end
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_MAX_ANSWER_MEGAPIXELS = 100.0  # 4K at the widest aspect ratio has about 25
_DEFAULT_RETRY_AFTER_S = 10.0
_OK, _RATE_LIMITED, _UNAVAILABLE = 200, 429, 503
_PERMANENT = {
    400: "nano_banana_bad_request",
    401: "nano_banana_forbidden",
    402: "nano_banana_payment_required",
    403: "nano_banana_forbidden",
    404: "nano_banana_model_not_found",
}
_SAFETY_REASONS = {"IMAGE_SAFETY", "SAFETY", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "BLOCKLIST"}
_EXTENSIONS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class NanoBananaError(Exception):
    """The call brought no picture. ``code`` is stable, ``message`` fit for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServiceUnavailableError(NanoBananaError):
    """503, or no connection at all: certainly nothing was executed, so it may be called again."""


class RateLimitedError(NanoBananaError):
    """429: nothing was executed; the service asks to wait ``retry_after_s`` seconds."""

    def __init__(self, code: str, message: str, retry_after_s: float) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class NoPictureError(NanoBananaError):
    """The model looked at it and made no picture (safety, recitation, text only); not charged."""


class CallRejectedError(NanoBananaError):
    """The request, key or account is not accepted: permanent, not charged."""


class PaymentUnknownError(NanoBananaError):
    """The request went out and its answer was lost or unreadable: it may have been charged."""

    def __init__(self, message: str) -> None:
        super().__init__("payment_unknown", message)


@dataclass(frozen=True)
class PlacedImage:
    """The model's picture as it came; ``width`` and ``height`` in pixels."""

    data: bytes
    content_type: str
    width: int
    height: int
    model: str
    text: str


class NanoBanana:
    """Client of the image model; safe to share between threads."""

    def __init__(self, settings: Settings, client: httpx.Client | None = None) -> None:
        self._settings = settings
        # retries=0 is httpx's default; it is written down because a re-sent request is paid twice
        self._client = client or httpx.Client(
            base_url=settings.nano_banana.base_url,
            transport=httpx.HTTPTransport(
                # no kept-alive connection either: one that went stale would look like a lost answer
                retries=0,
                limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0),
            ),
            timeout=httpx.Timeout(settings.nano_banana.retry.timeout_s, connect=_CONNECT_TIMEOUT_S),
        )

    def place(
        self,
        cutout: bytes,
        prompt: str,
        *,
        aspect_ratio: str,
        image_size: str,
        job_id: str,
        on_send: Callable[[], None] | None = None,
    ) -> PlacedImage:
        """Have the cut-out (encoded, RGBA) placed in the scene of ``prompt``.

        ``on_send`` runs in the moment before the request goes out; what it raises stops the call.
        Raises ``NanoBananaError`` and its children.
        """
        key = self._settings.nano_banana.api_key
        if key is None:
            raise CallRejectedError("nano_banana_not_configured", "NANO_BANANA_API_KEY is not set.")
        picture, content_type = reference_image(
            cutout,
            self._settings.nano_banana.max_input_side,
            max_megapixels=self._settings.guardrail.picture.max_output_megapixels,
        )
        body = json.dumps(_request_body(picture, content_type, prompt, aspect_ratio, image_size)).encode()
        request = self._client.build_request(
            "POST",
            f"/v1beta/models/{self._settings.nano_banana.model}:generateContent",
            content=body,
            headers={
                "x-goog-api-key": key.get_secret_value(),
                "Content-Type": "application/json",
                "X-Job-Id": job_id,
            },
        )
        if on_send is not None:
            on_send()
        with span(
            "generateContent",
            SpanType.CLIENT,
            job_id,
            component="HTTP",
            model=self._settings.nano_banana.model,
            http__method="POST",
            http__url=str(request.url),
        ) as call:
            try:
                status, headers, answer = self._send(request)
                call.set(http__status_code=status)
                return self._read(status, headers, answer)
            except NanoBananaError as error:
                call.failed(error.code)
                raise

    def _without_key(self, text: str) -> str:
        """The service's own words may repeat the key; ours never do."""
        key = self._settings.nano_banana.api_key
        return text.replace(key.get_secret_value(), "***") if key else text

    def _send(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        """Send once and read the answer within the time and size limits."""
        until = time.monotonic() + self._settings.nano_banana.retry.timeout_s
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceUnavailableError(
                "nano_banana_unreachable", "The image model can't be reached."
            ) from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise CallRejectedError(
                "nano_banana_bad_request", "NANO_BANANA_BASE_URL can't be called."
            ) from error
        except httpx.HTTPError as error:
            raise PaymentUnknownError(
                f"The call broke after it was sent ({type(error).__name__})."
            ) from error
        try:
            return response.status_code, response.headers, self._body(response, until)
        except httpx.HTTPError as error:
            raise PaymentUnknownError(f"The answer broke off ({type(error).__name__}).") from error
        finally:
            response.close()

    def _body(self, response: httpx.Response, until: float) -> bytes:
        most, chunks, size = MAX_RESPONSE_BYTES, [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > most:
                raise PaymentUnknownError(f"The answer is larger than {most} bytes.")
            if time.monotonic() > until:
                raise PaymentUnknownError("The answer did not end in time.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _read(self, status: int, headers: httpx.Headers, answer: bytes) -> PlacedImage:
        if status == _OK:
            return _picture(_json(answer), self._settings.nano_banana.model)
        error = _google_error(answer)
        text = self._without_key(str(error.get("message", "")))[:_MAX_TEXT]
        if status == _RATE_LIMITED:
            wait = _retry_after_s(error, headers)
            message = f"The image model's rate limit is reached. {text}".strip()
            raise RateLimitedError("nano_banana_rate_limited", message, wait)
        if status == _UNAVAILABLE:
            raise ServiceUnavailableError("nano_banana_unavailable", "The image model is overloaded (503).")
        if _is_permanent(status):
            code = _PERMANENT.get(status, "nano_banana_rejected")
            raise CallRejectedError(code, f"The image model refused the call ({status}). {text}".strip())
        raise PaymentUnknownError(f"The image model answered {status}.")


def _is_permanent(status: int) -> bool:
    """Redirects and client errors were not executed; 408 says that the request was cut off half-way."""
    return 300 <= status < 500 and status != httpx.codes.REQUEST_TIMEOUT


def reference_image(cutout: bytes, max_side: int, *, max_megapixels: float) -> tuple[bytes, str]:
    """The cut-out as it is sent: no side above ``max_side`` px; bytes and content type.

    PNG, or WebP where PNG would make the request too large. Raises ``CallRejectedError`` if it can't be read.
    """
    try:
        with open_picture(cutout, list(_EXTENSIONS), max_megapixels) as image:
            small = _shrink(image, max_side)
    except TooManyPixelsError as error:
        raise CallRejectedError("image_too_large", f"The upscaled cut-out is too large: {error}.") from error
    except DECODE_ERRORS as error:
        raise CallRejectedError("invalid_image", "The upscaled cut-out can't be read.") from error
    buffer = io.BytesIO()
    small.save(buffer, "PNG", compress_level=1)
    if buffer.tell() <= _MAX_REFERENCE_BYTES:
        return buffer.getvalue(), "image/png"
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_WEBP_QUALITY)
    return buffer.getvalue(), "image/webp"


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    """Scale down with alpha premultiplied, so that no colour of transparent pixels bleeds in."""
    factor = max_side / max(image.size)
    if factor >= 1:
        image.load()
        return image.copy()
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    if image.mode != "RGBA":
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def _request_body(
    picture: bytes, content_type: str, prompt: str, aspect_ratio: str, image_size: str
) -> dict[str, Any]:
    encoded = base64.b64encode(picture).decode()
    parts = [{"text": prompt}, {"inlineData": {"mimeType": content_type, "data": encoded}}]
    return {
        "contents": [{"role": "user", "parts": parts}],
        "generationConfig": {
            # text is asked for too, because refusals explain themselves there
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": aspect_ratio, "imageSize": image_size},
        },
    }


def _json(answer: bytes) -> dict[str, Any]:
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PaymentUnknownError("The answer is not valid JSON.") from error
    if not isinstance(body, dict):
        raise PaymentUnknownError("The answer is not a JSON object.")
    return body


def _picture(body: dict[str, Any], model: str) -> PlacedImage:
    """The first picture of an answer of 200, which alone does not mean success."""
    try:
        return _first_picture(body, model)
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise PaymentUnknownError("The answer does not have the documented shape.") from error


def _first_picture(body: dict[str, Any], model: str) -> PlacedImage:
    blocked = body.get("promptFeedback", {}).get("blockReason")
    if blocked:
        raise NoPictureError("nano_banana_safety", f"The image model blocked the request ({blocked}).")
    candidates = body.get("candidates") or []
    if not candidates:
        raise PaymentUnknownError("The answer holds neither a picture nor a reason.")
    candidate = candidates[0]
    every = (candidate.get("content") or {}).get("parts") or []
    parts = [part for part in every if not part.get("thought")]  # drafts are not the result
    text = " ".join(part["text"] for part in parts if "text" in part)[:_MAX_TEXT]
    inline = next((part["inlineData"] for part in parts if "inlineData" in part), None)
    if inline is not None:
        return _decoded(inline["data"], str(body.get("modelVersion") or model), text)
    reason = str(candidate.get("finishReason") or "NO_IMAGE")
    said = f" It said: {text}" if text else ""
    if reason in _SAFETY_REASONS:
        raise NoPictureError("nano_banana_safety", f"The image model refused the picture ({reason}).{said}")
    raise NoPictureError("nano_banana_no_image", f"The image model made no picture ({reason}).{said}")


def _decoded(data: str, model: str, text: str) -> PlacedImage:
    try:
        raw = base64.b64decode(data, validate=True)
        with open_picture(raw, list(_EXTENSIONS), _MAX_ANSWER_MEGAPIXELS) as image:
            image.load()
            kind = _EXTENSIONS[str(image.format)]
            return PlacedImage(raw, kind, image.width, image.height, model, text)
    except (binascii.Error, *DECODE_ERRORS) as error:
        raise PaymentUnknownError("The picture in the answer can't be decoded.") from error


def _google_error(answer: bytes) -> dict[str, Any]:
    try:
        error = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _retry_after_s(error: dict[str, Any], headers: httpx.Headers) -> float:
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
