"""A gateway before the GPU service, which fails calls of chosen jobs as a real one would."""

from __future__ import annotations

import random
import threading
from collections import defaultdict, deque

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from testbed.clients import NOTHING_KEPT

_TIMEOUT_S = 120.0
_RETRY_AFTER_S = "0.2"
_FORWARDED = {"prefer", "cookie"}
_PROBLEMS = {"busy": (429, "gpu_busy"), "fails": (500, "gpu_failed")}
FAULTS = ("away", *_PROBLEMS)


class Gateway:
    """Forwards to ``upstream``.

    Faults: ``busy`` (the queue is full), ``fails``, and ``away`` (no replica yet). Calls without an order
    fail at random at the ``rate``.
    """

    def __init__(self, upstream: str, rate: float = 0.0) -> None:
        self.upstream = upstream
        self._client = httpx.AsyncClient(base_url=upstream, timeout=_TIMEOUT_S, limits=NOTHING_KEPT)
        self._lock = threading.Lock()
        self._faults: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        self._random = random.Random(0)
        self._rate = rate

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(routes=[Route("/{path:path}", self.forward, methods=["GET", "POST", "DELETE"])])

    def order(self, job_id: str, path: str, faults: tuple[str, ...]) -> None:
        """The next calls of ``path`` for this job fail so."""
        with self._lock:
            self._faults[job_id, path].extend(faults)

    def forgive(self, job_id: str, path: str) -> None:
        """No call of ``path`` for this job fails any more."""
        with self._lock:
            self._faults.pop((job_id, path), None)

    async def forward(self, request: Request) -> Response:
        """Answer as ordered, or as the service does."""
        path = request.url.path
        fault = self._take(request.headers.get("x-job-id", ""), path)
        if fault == "away":
            return PlainTextResponse("no healthy upstream", 503)
        if fault is not None:
            return _problem(*_PROBLEMS[fault])
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.startswith("x-") or name in _FORWARDED
        }
        content = await request.body()
        headers["content-type"] = request.headers.get("content-type", "application/json")
        answer = await self._client.request(request.method, path, content=content, headers=headers)
        kept = {
            name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers
        }
        return Response(answer.content, answer.status_code, kept)

    def _take(self, job_id: str, path: str) -> str | None:
        with self._lock:
            waiting = self._faults.get((job_id, path))
            if waiting:
                return waiting.popleft()
            fails = bool(job_id) and self._random.random() < self._rate
            return self._random.choice(FAULTS) if fails else None


def _problem(status: int, code: str) -> Response:
    problem = {"title": "Ordered", "status": status, "detail": "A fault was ordered.", "code": code}
    return JSONResponse(problem, status, {"Retry-After": _RETRY_AFTER_S})
