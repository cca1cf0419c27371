"""Nano Banana: the paid call of the Gemini ``generateContent`` shape, made once, every response classified.

The API has no idempotency key, so one question matters about an error: is it certain that nothing was
executed? Only then may the call be repeated.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx

from imagery.providers.access import Access, GeminiApi
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
_OK, _UNAUTHORIZED = 200, 401
_LOOK_TIMEOUT_S = 10.0
# of all pictures that a response only names, on top of the time of the call
_FETCH_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class _Call:
    """A request without the proof of who asks. ``limit_s``: the time that it may take as a whole."""

    method: str
    path: str
    body: dict[str, Any] | None
    limit_s: float
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    """A response as it came, and the proof that it was asked with."""

    status: int
    headers: httpx.Headers
    body: bytes
    proof: dict[str, str]


class NanoBanana:
    """Client of the image model at one service; a ``Provider``, safe to share between threads."""

    def __init__(self, settings: Settings, access: Access | None = None, model: str | None = None) -> None:
        self._settings = settings
        self._access = access or GeminiApi(settings.nano_banana)
        self.name = self._access.name
        self.address = self._access.base_url
        self.model = model or settings.nano_banana.model
        # retries=0 is httpx's default; it is written down because a re-sent request is paid twice
        self._client = httpx.Client(
            base_url=self.address,
            transport=httpx.HTTPTransport(
                # no kept-alive connection either: one that went stale would look like a lost response
                retries=0,
                limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0),
            ),
        )

    def missing(self) -> str | None:
        """What an operator has to set first, in a sentence. Returns None if nothing is missing."""
        return self._access.missing()

    def offers(self, aspect_ratio: str, thinking_level: str | None) -> bool:
        """Whether the model can be asked for this."""
        return not_offered(self.model, aspect_ratio, thinking_level) is None

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
        proof = self._access.headers()
        missing = not_offered(self.model, aspect_ratio, thinking_level)
        if missing is not None:
            raise CallRejectedError("nano_banana_bad_request", missing)
        picture, content_type = reference_image(
            cutout,
            self._settings.nano_banana.max_input_side,
            max_megapixels=self._settings.guardrail.picture.max_output_megapixels,
        )
        parts = parts_of(wrapped(prompt), picture, content_type)
        body = request_body(parts, aspect_ratio, image_size, thinking_level=thinking_level, seed=seed)
        call = _Call(
            "POST",
            self._access.path(self.model),
            body | self._access.extras(job_id),
            self._settings.nano_banana.retry.limit_s(image_size),
            {"X-Job-Id": job_id},
        )
        if on_send is not None:
            on_send()
        with span(
            "generateContent",
            SpanType.CLIENT,
            job_id,
            component="HTTP",
            model=self.model,
            http__method="POST",
            http__url=str(self._client.base_url.join(call.path)),
        ) as sent:
            try:
                answer = self._ask(call, proof)
                sent.set(http__status_code=answer.status)
                return self._read(answer)
            except NanoBananaError as error:
                sent.failed(error.code)
                raise

    def look(self) -> dict[str, Any]:
        """Ask for something that is free, such as the model's description; empty where it is no JSON.

        Raises ``NanoBananaError`` if calls would fail.
        """
        question = self._access.free_question(self.model)
        proof = self._access.headers()
        call = _Call(question.method, question.path, question.body, _LOOK_TIMEOUT_S)
        answer = self._ask(call, proof)
        if answer.status != _OK:
            raise self._error(answer)
        try:
            return json_of(answer.body)
        except PaymentUnknownError:
            return {}

    def _ask(self, call: _Call, proof: dict[str, str]) -> _Answer:
        """Send, and once more with new proof where the service did not know who asked: nothing was done."""
        until = time.monotonic() + call.limit_s
        answer = self._send(call, proof, call.limit_s)
        if answer.status != _UNAUTHORIZED or not self._access.renew(proof):
            return answer
        proof = self._access.headers()
        remaining_s = until - time.monotonic()
        return self._send(call, proof, remaining_s) if remaining_s > 0 else answer

    def _send(self, call: _Call, proof: dict[str, str], limit_s: float) -> _Answer:
        """Send once and read the response within the limits of time and size."""
        request = self._client.build_request(
            call.method,
            call.path,
            content=None if call.body is None else json.dumps(call.body).encode(),
            headers={
                **proof,
                **call.headers,
                "Content-Type": "application/json",
                # as Google's own client tells it: the service gives up when nobody waits any more
                "X-Server-Timeout": str(math.ceil(limit_s)),
            },
            timeout=httpx.Timeout(limit_s, connect=_CONNECT_TIMEOUT_S, pool=_CONNECT_TIMEOUT_S),
        )
        with Deadline(request, limit_s):
            status, headers, body = self._exchange(request)
        return _Answer(status, headers, body, proof)

    def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceUnavailableError(
                "nano_banana_unreachable", "The image model can't be reached."
            ) from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise CallRejectedError(
                "nano_banana_bad_request", f"The address {self.address} can't be called."
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

    def _read(self, answer: _Answer) -> PlacedImage:
        if answer.status == _OK:
            fetch = partial(self._fetch, time.monotonic() + _FETCH_TIMEOUT_S)
            return picture_of(json_of(answer.body), self.model, fetch)
        raise self._error(answer)

    def _error(self, answer: _Answer) -> NanoBananaError:
        """What a response with another status than 200 means."""
        error = GoogleError.of(answer.body)
        text = error.message
        for secret in answer.proof.values():
            # the service's error text may repeat it; ours never does
            text = text.replace(secret.removeprefix("Bearer "), "***")
        retry = self._settings.nano_banana.retry
        return error_of(
            answer.status,
            answer.headers,
            error,
            text,
            bills_errors=retry.bills_errors,
            charges_pictures_only=self._access.charges_pictures_only,
        )

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
