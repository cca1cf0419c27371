"""Plain HTTP requests in great number: a client that costs little beside the host that it measures."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LIMIT_S = 120.0
_RETRY_AFTER = re.compile(rb"\r\nretry-after: ([0-9]{1,3})\r\n", re.IGNORECASE)
# what an EventSource goes by
_RETRY_MS = re.compile(rb"\nretry: ([0-9]{1,6})\n")
LOST = 0


@dataclass(frozen=True)
class Call:
    """One request: ``headers`` are whole lines, ``body`` is sent with its length."""

    path: str
    key: str = ""
    method: str = "GET"
    headers: tuple[str, ...] = ()
    body: bytes = b""

    def encoded(self) -> bytes:
        """As it is sent, on a connection of its own."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *self.headers]
        if self.key:
            lines.append(f"X-API-Key: {self.key}")
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass
class Told:
    """What came back: how often each status (0: the connection broke), and each time in milliseconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)


async def send(port: int, call: Call) -> tuple[int, bytes]:
    """The status and the whole answer. Status 0 where there was none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return LOST, b""
    try:
        writer.write(call.encoded())
        await writer.drain()
        # not wait_for: before Python 3.12 it can swallow the cancel that ends the crowd
        async with asyncio.timeout(_LIMIT_S):
            answer = await reader.read()
        return int(answer.split(b" ", 2)[1]), answer
    except (OSError, ValueError, IndexError, TimeoutError):
        return LOST, b""
    finally:
        # a server that has stopped reading would keep a polite end waiting
        writer.transport.abort()


async def repeat(port: int, call: Callable[[], Call], told: Told, pause_s: float = 0.0) -> None:
    """Send one request after the other until cancelled; come again when an answer says."""
    while True:
        started = time.perf_counter()
        status, answer = await send(port, call())
        told.times_ms.append((time.perf_counter() - started) * 1000)
        told.statuses[status] += 1
        await asyncio.sleep(_pause_s(answer, pause_s))


def _pause_s(answer: bytes, otherwise_s: float) -> float:
    again, stream = _RETRY_AFTER.search(answer), _RETRY_MS.search(answer)
    if again is None:
        return otherwise_s
    return int(stream[1]) / 1000 if stream else float(again[1])


@asynccontextmanager
async def at_once(clients: int, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """So many clients work during the block."""
    tasks = [asyncio.ensure_future(work()) for _ in range(clients)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
