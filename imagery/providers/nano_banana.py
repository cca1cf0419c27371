"""Nano Banana: the paid call of the Gemini ``generateContent`` shape, made once, every response classified.

The API has no idempotency key, so one question matters about an error: is it certain that nothing was
executed? Only then may the call be repeated.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

from imagery.providers.classification import error_of
from imagery.providers.deadline import Deadline
from imagery.providers.errors import (
    CallRejectedError,
    NanoBananaError,
    PaymentUnknownError,
    ServiceUnavailableError,
)
from imagery.providers.google_error import GoogleError
from imagery.providers.models import not_offered
from imagery.providers.reference import reference_image
from imagery.providers.request import parts_of, request_body
from imagery.providers.response import PlacedImage, json_of, picture_of
from imagery.providers.scene import wrapped
from imagery.safe_http import RefusedUrlError, UnreachableError, get
from imagery.settings import Environment, Settings
from imagery.telemetry.tracing import SpanType, span

_CONNECT_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 100
# a longer response is not read to its end
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_OK = 200
_LOOK_TIMEOUT_S = 10.0
# of all pictures that a response only names, on top of the time of the call
_FETCH_TIMEOUT_S = 30.0


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
            # for look(); each paid call has a limit of its own
            timeout=httpx.Timeout(_LOOK_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
        )

    def place(
        self,
        cutout: bytes,
        prompt: str,
        *,
        aspect_ratio: str,
        image_size: str,
        job_id: str,
        thinking_level: str | None = None,
        seed: int | None = None,
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
        model = self._settings.nano_banana.model
        missing = not_offered(model, aspect_ratio, thinking_level)
        if missing is not None:
            raise CallRejectedError("nano_banana_bad_request", missing)
        picture, content_type = reference_image(
            cutout,
            self._settings.nano_banana.max_input_side,
            max_megapixels=self._settings.guardrail.picture.max_output_megapixels,
        )
        parts = parts_of(wrapped(prompt), picture, content_type)
        body = request_body(parts, aspect_ratio, image_size, thinking_level=thinking_level, seed=seed)
        limit_s = self._settings.nano_banana.retry.limit_s(image_size)
        request = self._client.build_request(
            "POST",
            f"/v1beta/models/{model}:generateContent",
            content=json.dumps(body).encode(),
            headers={
                "x-goog-api-key": key.get_secret_value(),
                "Content-Type": "application/json",
                "X-Job-Id": job_id,
                # as Google's own client tells it: the service gives up when nobody waits any more
                "X-Server-Timeout": str(math.ceil(limit_s)),
            },
            timeout=httpx.Timeout(limit_s, connect=_CONNECT_TIMEOUT_S, pool=_CONNECT_TIMEOUT_S),
        )
        if on_send is not None:
            on_send()
        with span(
            "generateContent",
            SpanType.CLIENT,
            job_id,
            component="HTTP",
            model=model,
            http__method="POST",
            http__url=str(request.url),
        ) as call:
            try:
                status, headers, answer = self._send(request, limit_s)
                call.set(http__status_code=status)
                return self._read(status, headers, answer)
            except NanoBananaError as error:
                call.failed(error.code)
                raise

    def look(self) -> dict[str, Any]:
        """The model's description, which is free; empty where it is no JSON.

        Raises ``NanoBananaError`` if calls would fail.
        """
        key = self._settings.nano_banana.api_key
        request = self._client.build_request(
            "GET",
            f"/v1beta/models/{self._settings.nano_banana.model}",
            headers={"x-goog-api-key": key.get_secret_value()} if key else {},
        )
        status, headers, answer = self._send(request, _LOOK_TIMEOUT_S)
        if status != _OK:
            raise self._error(status, headers, answer)
        try:
            return json_of(answer)
        except PaymentUnknownError:
            return {}

    def _without_key(self, text: str) -> str:
        """The service's error text may contain the key; ours never does."""
        key = self._settings.nano_banana.api_key
        return text.replace(key.get_secret_value(), "***") if key else text

    def _send(self, request: httpx.Request, limit_s: float) -> tuple[int, httpx.Headers, bytes]:
        """Send once and read the response within the limits of time and size."""
        with Deadline(request, limit_s):
            return self._exchange(request)

    def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
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
            return response.status_code, response.headers, self._body(response)
        except httpx.HTTPError as error:
            raise PaymentUnknownError(f"The response broke off ({type(error).__name__}).") from error
        finally:
            response.close()

    def _body(self, response: httpx.Response) -> bytes:
        most, chunks, size = MAX_RESPONSE_BYTES, [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > most:
                raise PaymentUnknownError(f"The response is larger than {most} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _read(self, status: int, headers: httpx.Headers, answer: bytes) -> PlacedImage:
        if status == _OK:
            fetch = partial(self._fetch, time.monotonic() + _FETCH_TIMEOUT_S)
            return picture_of(json_of(answer), self._settings.nano_banana.model, fetch)
        raise self._error(status, headers, answer)

    def _error(self, status: int, headers: httpx.Headers, answer: bytes) -> NanoBananaError:
        """What a response with another status than 200 means."""
        error = GoogleError.of(answer)
        bills_errors = self._settings.nano_banana.retry.bills_errors
        return error_of(status, headers, error, self._without_key(error.message), bills_errors=bills_errors)

    def _fetch(self, until: float, address: str) -> bytes:
        """A picture that the response only names. Raises ``PaymentUnknownError``: it may be paid."""
        is_development = self._settings.env is Environment.DEV
        try:
            return get(
                address,
                timeout_s=max(0.0, until - time.monotonic()),
                most=MAX_RESPONSE_BYTES,
                allow_loopback=is_development,
            )
        except (RefusedUrlError, UnreachableError) as error:
            raise PaymentUnknownError(f"The picture is at an address that can't be read: {error}.") from error
