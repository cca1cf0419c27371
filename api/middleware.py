"""What every request gets: an id, headers for browsers, and a limit on its body before anything reads it."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, problem_response, unexpected
from imagery.database.tables import utc_now
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import SpanType, record_span, start_span_id, starting_jobs

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_DIGITS = re.compile(r"[0-9]+")
_NO_LENGTH = (
    "The body has no Content-Length. Send it whole, not in chunks: curl does with -F file=@photo.jpg, "
    "and with --data-binary @order.json."
)
_MULTIPART_ALLOWANCE = 64 * 1024
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # browsers heed it over https only
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"


class RequestId:
    """Takes the caller's ``X-Request-Id`` if it is a plain word, else makes one: for log and response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with log_context(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class HeadAsGet:
    """Serves HEAD as GET, with the same rights and headers, and leaves out the body.

    It waits for nothing: where GET would wait for news, there would be no body to show it in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        start: MutableMapping[str, Any] = {}
        size = 0

        async def send_head(message: MutableMapping[str, Any]) -> None:
            nonlocal start, size
            if message["type"] == "http.response.start":
                start = message
                return
            size += len(message.get("body", b""))
            if message.get("more_body", False):
                return
            if size:
                # a body in parts has no length of its own; the Functions host would send it as one
                MutableHeaders(scope=start).setdefault("Content-Length", str(size))
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        # the last value of a parameter counts
        query = b"&".join(filter(None, (scope["query_string"], b"wait=0")))
        await self._app({**scope, "method": "GET", "query_string": query}, receive, send_head)


class RequestTrace:
    """Makes a request that starts a job the first span of that job's trace.

    Other requests belong to no job; the host reports them to Application Insights.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = utc_now(), 500

        async def noting_send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with starting_jobs() as started:
            await self._app(scope, receive, noting_send)
        for job_id, run in started:
            route = scope["path"].replace(job_id, "{job_id}")
            record_span(
                f"{scope['method']} {route}",
                SpanType.SERVER,
                job_id,
                span_id=start_span_id(job_id, run),
                parent_id=None,
                started=begun,
                ended=utc_now(),
                run=run,
                http__method=scope["method"],
                http__route=route,
                http__url=scope["path"],
                http__status_code=status,
            )


class LastResort:
    """Returns a problem for an unforeseen error.

    A handler for ``Exception`` would do so too, but the framework raises the error again behind it, and then
    the Functions worker drops the response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await unexpected(error)(scope, receive, send)


class BodyLimit:
    """Rejects bodies that declare too great a length, or none: the Functions host empties those."""

    def __init__(self, app: ASGIApp, max_file_bytes: int, max_json_bytes: int) -> None:
        self._app = app
        self._max_file = max_file_bytes + _MULTIPART_ALLOWANCE
        self._max_json = max_json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith("multipart/")
        most = self._max_file if is_form else self._max_json
        declared = headers.get("content-length", "")
        if _DIGITS.fullmatch(declared) and _exceeds(declared, most):
            detail = f"The body has {declared[:20]} bytes, the limit is {most}. Send a smaller one."
            await problem_response(ApiError(413, "body_too_large", detail))(scope, receive, send)
            return
        if not declared and _announces_a_body(scope["method"], headers):
            await problem_response(ApiError(411, "length_required", _NO_LENGTH))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _announces_a_body(method: str, headers: Headers) -> bool:
    # the Functions host may keep Transfer-Encoding to itself, and some clients name a type with every GET
    return "transfer-encoding" in headers or (method != "GET" and "content-type" in headers)


def _exceeds(digits: str, most: int) -> bool:
    """True when the number is greater; one of thousands of digits is never made a number."""
    significant = digits.lstrip("0")
    return len(significant) > len(str(most)) or int(significant or "0") > most


class SecurityHeaders:
    """Headers that keep a browser from guessing types, from framing a response and from storing it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        await self._app(scope, receive, send_with_headers)
