"""A client of Server-Sent Events that does what the HTML standard says of EventSource."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Any

import httpx

_FIRST_RETRY_MS = 500
_TIMEOUT = httpx.Timeout(40.0, connect=5.0)


class EventSource:
    """Connects again and again until it is stopped; each connection goes on where the last one was."""

    def __init__(self, url: str, headers: dict[str, str], params: dict[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.last_event_id = ""
        self.retry_ms = _FIRST_RETRY_MS
        self.connections = 0
        self.failures = 0
        self._url, self._headers, self.params = url, headers, params or {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def ids(self) -> list[int]:
        """Of all events so far."""
        return [int(event["id"]) for event in self.events]

    @property
    def position(self) -> int:
        """The id up to which there is nothing left to hear of."""
        return int(self.last_event_id or 0)

    def start(self) -> EventSource:
        self._thread.start()
        return self

    def leave(self) -> None:
        """Stop as soon as the answer that is waited for has ended."""
        self._stopped.set()

    def stop(self) -> None:
        """``leave``, and wait for it."""
        self.leave()
        self._thread.join(_TIMEOUT.read)

    def feed(self, lines: Iterable[str]) -> None:
        """Take one answer in, line by line; what no empty line ends is dropped."""
        data: list[str] = []
        event_id = self.last_event_id
        for line in lines:
            if self._stopped.is_set():
                return
            if not line:
                self.last_event_id = event_id
                if data:
                    self.events.append(json.loads("\n".join(data)))
                data = []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                event_id = value
            elif name == "retry" and value.isdigit():
                self.retry_ms = int(value)

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
            while not self._stopped.is_set():
                try:
                    self._connect(client)
                except httpx.HTTPError:
                    self.failures += 1
                self._stopped.wait(self.retry_ms / 1000)

    def _connect(self, client: httpx.Client) -> None:
        headers = {"Accept": "text/event-stream", **self._headers}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        self.connections += 1
        with client.stream("GET", self._url, params=self.params, headers=headers) as answer:
            answer.raise_for_status()
            self.feed(answer.iter_lines())
