"""What a request meets first: its token is checked before its body is read, and the body is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from gpu_container.auth import OPEN_PATHS, CallerGate
from gpu_container.errors import StageError
from imagery.contracts import Problem

_PROBLEM = "application/problem+json"
# an order names two blobs
MAX_BODY_BYTES = 64 * 1024
_DIGITS = len(str(MAX_BODY_BYTES))
_TOO_LARGE = f"The body is larger than {MAX_BODY_BYTES} bytes."


class Door:
    """Admits or refuses a request before anything else sees it."""

    def __init__(self, app: ASGIApp, gate: CallerGate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            if scope["path"] not in OPEN_PATHS:
                # it may fetch the issuer's keys
                await asyncio.to_thread(self._gate.admit, headers.get("authorization", ""))
        except StageError as error:
            await stage_problem(error)(scope, receive, send)
            return
        await self._bounded(scope, receive, send, headers.get("content-length", ""))

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, declared: str) -> None:
        too_large = declared.isdigit() and (len(declared) > _DIGITS or int(declared) > MAX_BODY_BYTES)
        read, answered = 0, False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read, too_large
            message = await receive()
            read += len(message.get("body", b""))
            too_large = too_large or read > MAX_BODY_BYTES
            # the app gives up on a caller who has gone, and what it says then is not sent
            return {"type": "http.disconnect"} if too_large else message

        async def noting_send(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            if not too_large or answered:
                answered = True
                await send(message)

        if not too_large:
            with suppress(ClientDisconnect):
                await self._app(scope, counted, noting_send)
        if too_large and not answered:
            await problem(413, "body_too_large", _TOO_LARGE, {"Connection": "close"})(scope, receive, send)


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as RFC 9457 has it."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code)
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True), status, headers=headers, media_type=_PROBLEM
    )


def stage_problem(error: StageError) -> JSONResponse:
    """The response to a ``StageError``."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = f"{error.retry_after_s:g}"
    return problem(error.status, error.code, str(error), headers)
