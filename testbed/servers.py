"""An ASGI app on a port, in a thread of the test."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from testbed.clients import local_client
from testbed.ports import free_port

_START_LIMIT_S = 30.0


class Server:
    """Serves ``app`` until ``stop``; over TLS with ``certificate``, a PEM file with its key."""

    def __init__(self, app: Any, port: int | None = None, certificate: Path | None = None) -> None:
        port = port or free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        config = uvicorn.Config(app, port=port, log_config=None, ssl_certfile=certificate)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + _START_LIMIT_S
        while not self._server.started and time.monotonic() < until:
            time.sleep(0.01)
        self.client = local_client(port, timeout_s=30)

    def stop(self) -> None:
        """End it, open connections too."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
