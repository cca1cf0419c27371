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

import httpx

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 4000


class StartError(Exception):
    """A piece did not become healthy; the message has the end of its log and the way out."""


@dataclass
class Child:
    """One piece of the stack. ``ready_url`` answers below 500 when it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready_url: str
    log: Path
    hint: str = ""
    process: subprocess.Popen[bytes] | None = None
    restarts: deque[float] = field(default_factory=deque)

    @property
    def pid(self) -> int | None:
        """Process id while it was started."""
        return self.process.pid if self.process else None

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, its output in its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
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

    def wait_ready(self, limit_s: float) -> None:
        """Wait until it is healthy. Raises ``StartError``."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if not self.is_running:
                raise StartError(f"{self.name} ended while it was starting.\n{self._tail()}\n{self.hint}")
            with contextlib.suppress(httpx.HTTPError):
                # Azurite answers 4xx to a stranger, and is ready; 5xx is what our own pieces say until then
                if httpx.get(self.ready_url, timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return
            time.sleep(0.2)
        raise StartError(
            f"{self.name} was not healthy within {limit_s:.0f} s ({self.ready_url}).\n"
            f"{self._tail()}\n{self.hint}"
        )

    def signal(self, number: int) -> None:
        """Signal the whole session of the child."""
        if self.process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def _tail(self) -> str:
        try:
            end = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            end = ""
        return f"--- end of {self.log} ---\n{end}"


class Supervisor:
    """Restarts children that die, with growing waits, so many times in a span."""

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
        """One look at all children; True when one was started anew. Raises ``StartError`` at the bound."""
        started = False
        for child in self._children:
            if child.is_running or child.process is None:
                continue
            now = time.monotonic()
            if child.name not in self._due:
                self._due[child.name] = now + self._wait(child, now)
            if now >= self._due[child.name]:
                del self._due[child.name]
                child.restarts.append(now)
                child.start()
                self._say(f"{child.name} had ended and was started again (pid {child.pid})")
                started = True
        return started

    def _wait(self, child: Child, now: float) -> float:
        while child.restarts and child.restarts[0] < now - self._span_s:
            child.restarts.popleft()
        if len(child.restarts) >= self._most:
            raise StartError(
                f"{child.name} ended {self._most} times within {self._span_s:.0f} s: see {child.log}"
            )
        wait = self._first_wait_s * 2 ** len(child.restarts)
        return float(min(wait, self._longest_wait_s))


def stop_all(children: list[Child], limit_s: float = 10.0) -> None:
    """End every child: asked first, then forced."""
    for child in reversed(children):
        child.signal(signal.SIGTERM)
    until = time.monotonic() + limit_s
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.signal(signal.SIGKILL)
            child.process.wait(5)


def _end_with_parent() -> None:
    """Ask Linux to end this process when the stack's process dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
