"""Child processes of the stack: started, watched, restarted within bounds, and all ended with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from local.orphans import start_mark

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 4000
_LOOK_EVERY_S = 0.1
_RESPONSE_LIMIT_S = 5.0
_SETUP_FAILED = "SETUP_FAILED"


class StartError(Exception):
    """A piece did not become healthy; the message has the end of its log and what to do."""


@dataclass
class Child:
    """One piece of the stack.

    ``ready_url`` returns a status below ``ready_below`` once it is ready. A piece that can never become ready
    returns the state SETUP_FAILED there, and its reasons at ``health_url``.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    ready_url: str
    log: Path
    hint: str = ""
    ready_below: int = 400
    health_url: str = ""
    process: subprocess.Popen[bytes] | None = None
    started: str | None = None
    restarts: deque[float] = field(default_factory=deque)

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self.process.pid if self.process else None

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own; its output goes to its log. Raises ``StartError``."""
        if self.process is None:
            self._begin_log()
        with self.log.open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    self.command,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                )
            except OSError as error:
                raise StartError(f"{self.name} could not be started: {error}. {self.hint}") from error
        self.started = start_mark(self.process.pid)

    def wait_ready(self, limit_s: float, look: Callable[[], None]) -> None:
        """Wait until it is ready, and call ``look`` between tries. Raises ``StartError``."""
        until = time.monotonic() + limit_s
        # nothing here leaves the machine, so no proxy
        with httpx.Client(timeout=_RESPONSE_LIMIT_S, trust_env=False) as client:
            while time.monotonic() < until:
                look()
                if self._is_ready(client):
                    return
                if not self.is_running:
                    raise StartError(f"{self.name} {self.end} while it was starting.\n{self._tail()}")
                time.sleep(_LOOK_EVERY_S)
        raise StartError(
            f"{self.name} was not healthy within {limit_s:.0f} s ({self.ready_url}).\n{self._tail()}"
        )

    def check_success(self) -> None:
        """For a piece that ends by itself. Raises ``StartError`` unless it has, with exit code 0."""
        if self.process is None or self.process.poll() != 0:
            raise StartError(f"{self.name} {self.end}.\n{self._tail()}")

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self.process.poll() if self.process else None
        if code is None:
            return "did not end"
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def signal(self, number: int) -> None:
        """Signal the whole session of the child, if it runs."""
        if self.is_running:
            self._signal_session(number)

    def stop(self, limit_s: float) -> None:
        """Wait for its end after SIGTERM, then kill what is left of its session."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(limit_s)
        self._signal_session(signal.SIGKILL)
        self.process.wait()

    def _is_ready(self, client: httpx.Client) -> bool:
        try:
            answer = client.get(self.ready_url)
        except httpx.HTTPError:
            return False
        if self.health_url and _json(answer).get("state") == _SETUP_FAILED:
            with contextlib.suppress(httpx.HTTPError):
                answer = client.get(self.health_url)
            raise StartError(f"{self.name} can't run: {answer.text}\n{self.hint}")
        # another program on that port does not count
        return answer.status_code < self.ready_below and self.is_running

    def _signal_session(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def _begin_log(self) -> None:
        """Keep the log of the previous run as ``.old``."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".old"))

    def _tail(self) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                end = file.read().decode(errors="replace")
        except FileNotFoundError:
            end = ""
        return f"--- end of {self.log} ---\n{end}\n{self.hint}"


class Supervisor:
    """Restarts children that end, with growing waits, up to a number of times in a span."""

    def __init__(
        self,
        children: list[Child],
        say: Callable[[str], None],
        *,
        most_restarts: int = 20,
        span_s: float = 600.0,
        first_wait_s: float = 0.5,
        longest_wait_s: float = 10.0,
    ) -> None:
        self._children = children
        self._say = say
        self._most = most_restarts
        self._span_s = span_s
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._due: dict[str, float] = {}

    def look(self) -> bool:
        """Look at all children. Returns True if one was started again. Raises ``StartError`` at the limit."""
        started = False
        for child in self._children:
            if child.is_running or child.process is None:
                continue
            now = time.monotonic()
            if child.name not in self._due:
                wait_s = self._wait_s(child, now)
                self._due[child.name] = now + wait_s
                self._say(f"{child.name} {child.end}; it starts again in {wait_s:.1f} s (log: {child.log})")
            if now >= self._due[child.name]:
                del self._due[child.name]
                child.restarts.append(now)
                child.start()
                self._say(f"{child.name} was started again (pid {child.pid})")
                started = True
        return started

    def _wait_s(self, child: Child, now: float) -> float:
        while child.restarts and child.restarts[0] < now - self._span_s:
            child.restarts.popleft()
        if len(child.restarts) >= self._most:
            raise StartError(
                f"{child.name} {child.end}, and was started again {self._most} times within "
                f"{self._span_s:.0f} s: see {child.log}"
            )
        wait_s = self._first_wait_s * 2 ** len(child.restarts)
        return float(min(wait_s, self._longest_wait_s))


def stop_all(children: list[Child], limit_s: float = 10.0) -> None:
    """End every child: SIGTERM to all, then SIGKILL to those left after ``limit_s`` in all."""
    for child in reversed(children):
        child.signal(signal.SIGTERM)
    until = time.monotonic() + limit_s
    for child in children:
        child.stop(max(0.0, until - time.monotonic()))


def _json(answer: httpx.Response) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        body = answer.json()
        return body if isinstance(body, dict) else {}
    return {}


def _end_with_parent() -> None:
    """Ask Linux to end this process when the stack's process dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
