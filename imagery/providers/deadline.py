"""A limit for one HTTP call as a whole; httpx's own limits begin again with each byte that arrives."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any

import httpx

_CONNECTED = ("connect_tcp.complete", "start_tls.complete")


class Deadline:
    """Shuts the connection of a request down after ``limit_s`` seconds, whatever the other side does.

    The call then ends with an ``httpx.HTTPError``. A context manager around sending and reading.
    """

    def __init__(self, request: httpx.Request, limit_s: float) -> None:
        self._socket: socket.socket | None = None
        self._is_over = False
        self._lock = threading.Lock()
        request.extensions["trace"] = self._trace
        self._timer = threading.Timer(limit_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's hook: what it connected to."""
        if event.endswith(_CONNECTED):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._is_over:
                    self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # not SSLSocket's own: it takes the encryption away from under the thread that reads
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
