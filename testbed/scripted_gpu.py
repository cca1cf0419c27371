"""A GPU service that answers as a test tells it, and keeps what it was asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imagery.services import Services, get_services
from testbed.servers import Server
from testbed.services import forget

REPORT = {
    "width": 8,
    "height": 8,
    "duration_ms": 1500.0,
    "waited_ms": 700.0,
    "vram_used_gb": 1.0,
    "vram_peak_gb": 1.0,
    "device": "cuda",
    "model": "isnet",
}


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]


class ScriptedGpu:
    """Answers each ``POST`` with the next of ``answers``; with a report when none is left."""

    def __init__(self) -> None:
        self.answers: deque[Response] = deque()
        self.asked: list[Asked] = []
        self.bodies: list[dict[str, Any]] = []
        self.stop: Callable[[], None] = lambda: None

    async def __call__(self, request: Request) -> Response:
        self.asked.append(Asked(request.method, request.url.path, dict(request.headers)))
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.method == "GET":
            return JSONResponse({"title": "t", "status": 404, "detail": "d", "code": "not_found"}, 404)
        self.bodies.append(json.loads(await request.body()))
        if self.answers:
            return self.answers.popleft()
        return JSONResponse(report(self.bodies[-1]["target"]))


def report(target: dict[str, Any], work_id: str = "w1") -> dict[str, Any]:
    """The report of finished work."""
    return {**REPORT, "output": target, "work_id": work_id}


def works(work_id: str = "w1", expected_s: float = 30.0, cookie: str = "", **progress: Any) -> Response:
    """202: the work goes on."""
    headers = {"Retry-After": f"{expected_s:.0f}", **({"Set-Cookie": cookie} if cookie else {})}
    body = {"stage": "rembg", "work_id": work_id, "expected_s": expected_s, **progress}
    return JSONResponse(body, 202, headers)


def problem(status: int, code: str, retry_after_s: float | None = None) -> Response:
    """An error of the service."""
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    body = {"title": "t", "status": status, "detail": f"because of {code}", "code": code}
    return JSONResponse(body, status, headers)


@pytest.fixture
def scripted_gpu(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGpu]:
    """In place of the GPU service of the settings."""
    gpu = ScriptedGpu()

    async def endpoint(request: Request) -> Response:
        return await gpu(request)

    server = Server(Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "POST", "DELETE"])]))
    monkeypatch.setenv("GPU_SERVICE_URL", server.url)
    forget()
    gpu.stop = server.stop
    yield gpu
    get_services().guardrail.close()
    server.stop()
