"""What every request gets: an id, and a limit on its body before anything reads it."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import PROBLEM_JSON, unexpected
from imagery.contracts import Problem
from imagery.telemetry.logs import log_context

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_MULTIPART_ALLOWANCE = 64 * 1024


class RequestId:
    """Takes the caller's ``X-Request-Id`` if it is a plain word, else makes one, for logs and answers."""

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


class LastResort:
    """Answers an unforeseen error with a problem.

    A handler for ``Exception`` would answer too, but the framework raises the error once more behind it,
    and then the Functions worker throws the answer away.
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
    """Refuses a body whose declared length exceeds the upload limit."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes + _MULTIPART_ALLOWANCE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if not declared.isdigit() or int(declared) <= self._max_bytes:
            await self._app(scope, receive, send)
            return
        problem = Problem(
            title="Content Too Large",
            status=413,
            detail=f"The body has {declared} bytes, the limit is {self._max_bytes}.",
            code="body_too_large",
        )
        body = problem.model_dump_json(exclude_none=True).encode()
        headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
