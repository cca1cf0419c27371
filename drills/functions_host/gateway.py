"""A gateway before the GPU service: it counts the calls, and is busy, fails or hangs when it is told to."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from drills.faults.gateway import Gateway
from imagery.contracts import Problem

REMBG, UPSCALE = "/v1/remove-background", "/v1/upscale"
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class GpuCall:
    """One call that reached the gateway; ``at`` on the monotonic clock."""

    at: float
    path: str
    job_id: str


class Hold:
    """One call that the gateway keeps waiting until ``release``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.job_id: str | None = None
        self._released = threading.Event()

    def release(self) -> None:
        """Let the call go on."""
        self._released.set()

    async def wait(self) -> None:
        """Until it is released."""
        while not self._released.is_set():
            await asyncio.sleep(_LOOK_EVERY_S)


class GpuGateway(Gateway):
    """Forwards to the GPU service, once nothing else is ordered."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.calls: list[GpuCall] = []
        self._busy = threading.Event()
        self._failures: deque[int] = deque()
        self._holds: deque[Hold] = deque()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Every call gets 429 with ``Retry-After: 1`` inside of the block."""
        self._busy.set()
        try:
            yield
        finally:
            self._busy.clear()

    def fail(self, *statuses: int) -> None:
        """The next calls get these statuses: 500 from the service, 503 from a gateway without a replica."""
        self._failures.extend(statuses)

    def hold(self, path: str) -> Hold:
        """Keep the next call of ``path`` waiting."""
        hold = Hold(path)
        self._holds.append(hold)
        return hold

    def calls_of(self, job_id: str, path: str) -> list[GpuCall]:
        """The calls for one job."""
        return [each for each in self.calls if (each.job_id, each.path) == (job_id, path)]

    async def forward(self, request: Request) -> Response:
        """Respond as ordered, or as the service does."""
        path, job_id = request.url.path, request.headers.get("x-job-id", "")
        if path not in {REMBG, UPSCALE}:
            return await super().forward(request)
        self.calls.append(GpuCall(time.monotonic(), path, job_id))
        # read to its end before any response, as a server does
        await request.body()
        if self._busy.is_set():
            return _problem(429, "gpu_busy", {"Retry-After": "1"})
        if self._failures:
            status = self._failures.popleft()
            return PlainTextResponse("no healthy upstream", 503) if status == 503 else _problem(status)
        hold = next((each for each in self._holds if each.path == path), None)
        if hold is not None:
            self._holds.remove(hold)
            hold.job_id = job_id
            await hold.wait()
        return await super().forward(request)


def gaps_s(calls: list[GpuCall]) -> dict[str, float]:
    """Seconds from each call to the next: the shortest, the median and the longest."""
    gaps = [after.at - before.at for before, after in itertools.pairwise(calls)] or [0.0]
    return {
        "shortest": round(min(gaps), 2),
        "median": round(statistics.median(gaps), 2),
        "longest": round(max(gaps), 2),
    }


def _problem(status: int, code: str = "gpu_failed", headers: dict[str, str] | None = None) -> Response:
    body = Problem(title="Ordered", status=status, detail="A fault was ordered.", code=code)
    return JSONResponse(body.to_json(), status, headers)
