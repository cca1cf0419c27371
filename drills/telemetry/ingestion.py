"""A recording stand-in for the ingestion endpoint of Application Insights."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from testbed.servers import Server

KEY = "00000000-0000-0000-0000-000000000001"
_KINDS = {
    "MessageData": "log",
    "ExceptionData": "exception",
    "RequestData": "request",
    "RemoteDependencyData": "dependency",
    "MetricData": "metric",
    "EventData": "event",
}


@dataclass(frozen=True)
class Item:
    """One telemetry item as it arrived."""

    raw: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.raw["data"]["baseData"]
        return data

    @property
    def kind(self) -> str:
        return _KINDS[self.raw["data"]["baseType"]]

    @property
    def dimensions(self) -> dict[str, Any]:
        return self.data.get("properties") or {}

    @property
    def operation(self) -> str | None:
        return self._tag("ai.operation.id")

    @property
    def parent(self) -> str | None:
        return self._tag("ai.operation.parentId")

    @property
    def role(self) -> str | None:
        return self._tag("ai.cloud.role")

    @property
    def id(self) -> str:
        return str(self.data["id"])

    @property
    def name(self) -> str:
        """Of a span or metric; of a log line its message."""
        if self.kind == "metric":
            return str(self.data["metrics"][0]["name"])
        return str(self.data.get("name") or self.data.get("message"))

    def _tag(self, name: str) -> str | None:
        value = (self.raw.get("tags") or {}).get(name)
        return str(value) if value else None


class Ingestion:
    """Listens on a port. ``status`` other than 200 is what it returns instead of taking the items; while
    it ``holds`` it sends no response. With a ``token`` it takes only what comes with it.
    """

    def __init__(
        self, port: int | None = None, *, holds: bool = False, certificate: Path | None = None
    ) -> None:
        self.token: str | None = None
        self.status = 200
        self.holds = holds
        self.calls = 0
        self.foreign_paths: list[str] = []
        self.bodies: list[str] = []
        self._items: list[Item] = []
        self._lock = threading.Lock()
        self._server = Server(self, port, certificate)
        self.connection_string = f"InstrumentationKey={KEY};IngestionEndpoint={self._server.url}"

    @property
    def items(self) -> list[Item]:
        """Everything taken, in the order of arrival."""
        with self._lock:
            return list(self._items)

    def of(self, *kinds: str) -> list[Item]:
        """Those of these kinds."""
        return [item for item in self.items if item.kind in kinds]

    def wait(self, enough: Callable[[Ingestion], bool], limit_s: float = 20) -> None:
        """Until ``enough``, or the limit."""
        until = time.monotonic() + limit_s
        while not enough(self) and time.monotonic() < until:
            time.sleep(0.05)

    def stop(self) -> None:
        """Close the port."""
        self.holds = False
        self._server.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("it serves HTTP only")
        response = await self._track(Request(scope, receive))
        await response(scope, receive, send)

    async def _track(self, request: Request) -> Response:
        body = await request.body()
        while self.holds:
            await asyncio.sleep(0.05)
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self._lock:
            self.calls += 1
            if request.url.path not in {"/v2/track", "/v2.1/track"}:
                self.foreign_paths.append(request.url.path)
            if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"itemsReceived": 0, "itemsAccepted": 0, "errors": []}, 401)
            if self.status != 200:
                return JSONResponse({"itemsReceived": 0, "itemsAccepted": 0, "errors": []}, self.status)
            text = body.decode()
            found = _parsed(text)
            self.bodies.append(text)
            self._items.extend(Item(each) for each in found)
        count = len(found)
        return JSONResponse({"itemsReceived": count, "itemsAccepted": count, "errors": []})


def _parsed(text: str) -> list[dict[str, Any]]:
    """A JSON array, or one object a line."""
    try:
        items = json.loads(text)
    except ValueError:
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
    return items if isinstance(items, list) else [items]
