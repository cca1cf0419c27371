"""Hosts by fork: one process imports everything once, and each host is a copy of it.

``python -m drills.faults.forkserver`` reads orders from its input, a JSON object a line, and replies on
its output. A host that was forked has no thread, connection or engine yet, and reads its settings again.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent.parent
_POLL_S = 0.02
_APP = "function_app"
# what a host imports only when it serves
_LATER = (
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql.psycopg",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)


@dataclass
class Host:
    """A host that was started; ``exit_code`` is None while it runs."""

    pid: int
    exit_code: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if not self.ended.is_set():
            os.kill(self.pid, signal.SIGKILL)
            self.ended.wait(10)


class ForkServer:
    """The process that hosts are forked from."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "drills.faults.forkserver"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # settings that nothing may depend on: each host gets its own
                env={**os.environ, "RECONCILE_SCHEDULE": "* * * * * *", "OMP_NUM_THREADS": "1"},
            )
        self._hosts: dict[int, Host] = {}
        self._starting = threading.Lock()
        self._started: Host | None = None
        self._answered = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, arguments: list[str], environment: dict[str, str], log: Path) -> Host:
        """Start a host. Raises ``RuntimeError`` when there is no answer."""
        order = {"arguments": arguments, "environment": environment, "log": str(log)}
        with self._starting:
            self._answered.clear()
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            if not self._answered.wait(60) or self._started is None:
                raise RuntimeError("the fork server does not answer")
            return self._started

    def stop(self) -> None:
        """End it and every host that still runs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(20)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "exit_code" in told:
                host = self._hosts.pop(told["pid"])
                host.exit_code = told["exit_code"]
                host.ended.set()
            else:
                self._started = self._hosts[told["pid"]] = Host(told["pid"])
                self._answered.set()


def _become_host(order: dict[str, Any]) -> NoReturn:
    """Never returns: the copy lives and dies as a host."""
    code = 1
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, log, log)):
            os.dup2(descriptor, number)
        os.environ.clear()
        os.environ.update(order["environment"])
        from devhost.__main__ import main

        code = main(order["arguments"])
    finally:
        os._exit(code)


def _tell(**values: int) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _reap(running: set[int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        running.discard(pid)
        _tell(pid=pid, exit_code=os.waitstatus_to_exitcode(status))


def _import_everything() -> None:
    """Import all that a host imports, then forget what was read from the environment."""
    import logging

    from sqlalchemy.orm import configure_mappers

    import devhost.__main__  # noqa: F401
    from imagery.settings import get_settings

    for name in (_APP, *_LATER):
        importlib.import_module(name)
    configure_mappers()
    # the app itself is made again in each host, from settings read again
    del sys.modules[_APP]
    get_settings.cache_clear()
    logging.getLogger().handlers.clear()
    if threading.active_count() != 1:
        raise RuntimeError("an import starts threads: they would be missing in every copy")


def serve() -> None:
    """Fork a host for each order until the input ends, then kill what is left."""
    _import_everything()
    running: set[int] = set()
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], _POLL_S)
        _reap(running)
        if not ready:
            continue
        data = os.read(0, 65536)
        if not data:
            break
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _become_host(order)
            running.add(pid)
            _tell(pid=pid)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
