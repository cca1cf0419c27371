"""Binds each call to its job, for log lines and spans: ``X-Job-Id`` and ``traceparent`` name it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import SpanType, parent_of, span

_JOB_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_NO_RESPONSE = 500
_FIRST_FAILURE = 400


class JobTrace:
    """A call without a job's id, such as a health check, is left as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        job_id = headers.get("x-job-id", "")
        if not _JOB_ID.fullmatch(job_id):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        status = _NO_RESPONSE

        async def noting_send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with (
            log_context(job_id=job_id),
            span(
                f"{method} {path}",
                SpanType.SERVER,
                job_id,
                parent_id=parent_of(headers.get("traceparent", "")),
                http__method=method,
                http__route=path,
                http__url=path,
            ) as served,
        ):
            await self._app(scope, receive, noting_send)
            served.set(http__status_code=status)
            if status >= _FIRST_FAILURE:
                served.failed(str(status))
