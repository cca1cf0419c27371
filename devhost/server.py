"""The host as an ASGI app under uvicorn: starts the triggers, and stops them before it drains HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from devhost.app import App
from devhost.backend import Backend
from devhost.blob_trigger import BlobPoller
from devhost.durable import DurableWorker
from devhost.faults import FaultInjector
from devhost.http import HttpTriggers
from devhost.invocation import Invoker
from devhost.management import Management
from devhost.settings import HostSettings
from devhost.timer_trigger import Timers

_log = logging.getLogger("devhost")
# with the time-outs of the triggers' stops this ends within 5 s
_DRAIN_S = 2
_BACKLOG = 2048
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Host:
    """All triggers of one app. Raises ``SettingsError`` and ``ValueError`` for triggers it can't serve."""

    def __init__(self, settings: HostSettings, app: App, faults: FaultInjector) -> None:
        self._settings = settings
        self._backend = Backend()
        self._invoker = Invoker(settings)
        self._http = HttpTriggers(settings, app, self._invoker)
        self._worker = DurableWorker(settings, app, self._backend, self._invoker, faults)
        self._poller = BlobPoller(settings, app, self._invoker)
        self._timers = Timers(app, self._invoker)
        self.asgi = Starlette(routes=Management(app, self._backend).routes(), lifespan=self._lifespan)
        # not a route: the pattern of a catch-all does not match a path with a line break in it
        self.asgi.router.default = self._serve

    async def stop_triggers(self) -> None:
        """Stop the blob and timer triggers."""
        await asyncio.gather(self._timers.stop(), asyncio.to_thread(self._poller.stop))

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._invoker.start(asyncio.get_running_loop())
        self._worker.start()
        self._poller.start()
        self._timers.start()
        _log.info("host is listening on %s", self._settings.base_url)
        yield
        # last: requests that are drained may still start and query orchestrations
        await asyncio.to_thread(self._worker.stop)
        self._invoker.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._http.handle(Request(scope, receive))
        await response(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn, with the triggers stopped before the drain."""

    def __init__(self, host: Host) -> None:
        super().__init__(
            uvicorn.Config(
                host.asgi, log_config=None, access_log=False, timeout_graceful_shutdown=_DRAIN_S, ws="none"
            )
        )
        self._host = host

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Don't raise the signal that ended the server again: the exit code is 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within 5 s."""
        _log.info("host is stopping")
        await self._host.stop_triggers()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; port 0 takes any free one. Raises ``OSError``."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
