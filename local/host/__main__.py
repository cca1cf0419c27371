"""``python -m local.host --port 7071``: serve the functions of ``function_app.py``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.host import app as functions
from local.host.backend import Backend
from local.host.blob_trigger import BlobPoller
from local.host.durable import DurableWorker
from local.host.faults import FaultInjector, FaultsFileError
from local.host.http import HttpTriggers
from local.host.invocation import Invoker
from local.host.management import Management
from local.host.settings import HostSettings, SettingsError, load
from local.host.timer_trigger import Timers

_log = logging.getLogger("local.host")
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
_DRAIN_S = 3
_BAD_START = 2


def create(settings: HostSettings, app: functions.App, faults: FaultInjector) -> Starlette:
    """The host as an ASGI app; triggers begin when it starts and end when it stops."""
    triggers: list[HttpTriggers] = []
    backend = Backend()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        invoker = Invoker(settings, asyncio.get_running_loop())
        triggers.append(HttpTriggers(settings, app, invoker))
        worker = DurableWorker(settings, app, backend, invoker, faults)
        poller, timers = BlobPoller(settings, app, invoker), Timers(app, invoker)
        worker.start()
        poller.start()
        timers.start()
        _log.info("host is listening on %s", settings.base_url)
        yield
        timers.stop()
        await asyncio.to_thread(poller.stop)
        await asyncio.to_thread(worker.stop)
        invoker.stop()

    async def serve(request: Request) -> Response:
        return await triggers[0].handle(request)

    routes = [*Management(app, backend).routes(), Route("/{path:path}", serve, methods=_METHODS)]
    return Starlette(routes=routes, lifespan=lifespan)


def main(arguments: list[str]) -> int:
    """Load the app and serve it until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Runs function_app.py without Azure Functions Core Tools."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--app-dir", type=Path, default=Path(), help="folder of function_app.py")
    parser.add_argument("--state-dir", type=Path, default=Path(".run/host"), help="receipts, key")
    given = parser.parse_args(arguments)
    # one handler, installed first: the app only gives it a formatter, and no line is written twice
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    problem = _port_problem(given.host, given.port)
    if problem:
        return _refuse(problem)
    try:
        settings = load(given.app_dir.resolve(), given.state_dir, given.host, given.port)
        app = functions.load(settings.app_dir)
        faults = FaultInjector.from_file(settings.faults_file, settings.state_dir)
        server = create(settings, app, faults)
    except (SettingsError, functions.LoadError, FaultsFileError) as error:
        return _refuse(str(error))
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more after a clean stop; that must not be an error then
        signal.signal(number, lambda *_: None)
    uvicorn.run(
        server,
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    # what activities are still doing is given up, as when an instance is taken away
    logging.shutdown()
    sys.stdout.flush()
    return 0


def _port_problem(host: str, port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return f"port {port} can't be used: {error.strerror}; choose another with --port"
    return None


def _refuse(reason: str) -> int:
    sys.stderr.write(f"local.host: {reason}\n")
    return _BAD_START


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # threads of the in-memory backend that wait for far timers must not hold the process
    os._exit(code)
