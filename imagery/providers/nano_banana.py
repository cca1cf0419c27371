"""Nano Banana: the paid call of the Gemini ``generateContent`` shape, made once, every response classified.

The API has no idempotency key, so one question matters about an error: is it certain that nothing was
executed? Only then may the call be repeated.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from imagery.providers.errors import (
    CallRejectedError,
    NanoBananaError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.reference import reference_image
from imagery.providers.response import (
    MAX_TEXT,
    PlacedImage,
    google_error,
    json_of,
    picture_of,
    retry_after_s_of,
)
from imagery.settings import Settings
from imagery.telemetry.tracing import SpanType, span

_CONNECT_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 100
# a longer response is not read to its end
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_OK, _RATE_LIMITED, _UNAVAILABLE = 200, 429, 503
_PERMANENT = {
    400: "nano_banana_bad_request",
    401: "nano_banana_forbidden",
    402: "nano_banana_payment_required",
    403: "nano_banana_forbidden",
    404: "nano_banana_model_not_found",
}


class NanoBanana:
    """Client of the image model; safe to share between threads."""

    def __init__(self, settings: Settings, client: httpx.Client | None = None) -> None:
        self._settings = settings
        # retries=0 is httpx's default; it is written down because a re-sent request is paid twice
        self._client = client or httpx.Client(
            base_url=settings.nano_banana.base_url,
            transport=httpx.HTTPTransport(
                # no kept-alive connection either: one that went stale would look like a lost response
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
        """Place the cut-out (encoded, RGBA) in the scene of ``prompt``.

        ``on_send`` runs in the moment before the request goes out; what it raises stops the call.
        Raises ``NanoBananaError`` and its children.
        """
        key = self._settings.nano_banana.api_key
        if key is None:
            raise CallRejectedError(
                "nano_banana_not_configured",
                "NANO_BANANA_API_KEY is not set, or its secret can't be read from Key Vault.",
            )
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
        """The service's error text may contain the key; ours never does."""
        key = self._settings.nano_banana.api_key
        return text.replace(key.get_secret_value(), "***") if key else text

    def _send(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        """Send once and read the response within the limits of time and size."""
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
            raise PaymentUnknownError(f"The response broke off ({type(error).__name__}).") from error
        finally:
            response.close()

    def _body(self, response: httpx.Response, until: float) -> bytes:
        most, chunks, size = MAX_RESPONSE_BYTES, [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > most:
                raise PaymentUnknownError(f"The response is larger than {most} bytes.")
            if time.monotonic() > until:
                raise PaymentUnknownError("The response did not end in time.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _read(self, status: int, headers: httpx.Headers, answer: bytes) -> PlacedImage:
        if status == _OK:
            return picture_of(json_of(answer), self._settings.nano_banana.model)
        error = google_error(answer)
        text = self._without_key(str(error.get("message", "")))[:MAX_TEXT]
        if status == _RATE_LIMITED:
            wait = retry_after_s_of(error, headers)
            message = f"The image model's rate limit is reached. {text}".strip()
            raise RateLimitedError("nano_banana_rate_limited", message, wait)
        if status == _UNAVAILABLE:
            raise ServiceUnavailableError("nano_banana_unavailable", "The image model is overloaded (503).")
        if _is_permanent(status):
            code = _PERMANENT.get(status, "nano_banana_rejected")
            raise CallRejectedError(code, f"The image model rejected the call ({status}). {text}".strip())
        raise PaymentUnknownError(f"The image model responded with {status}.")


def _is_permanent(status: int) -> bool:
    """Redirects and client errors were not executed; 408 says that the request was cut off half-way."""
    return 300 <= status < 500 and status != httpx.codes.REQUEST_TIMEOUT


def _request_body(
    picture: bytes, content_type: str, prompt: str, aspect_ratio: str, image_size: str
) -> dict[str, Any]:
    encoded = base64.b64encode(picture).decode()
    parts = [{"text": prompt}, {"inlineData": {"mimeType": content_type, "data": encoded}}]
    return {
        "contents": [{"role": "user", "parts": parts}],
        "generationConfig": {
            # text is asked for too: it explains why there is no picture
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": aspect_ratio, "imageSize": image_size},
        },
    }
