"""kill -9 of each process of a fresh stack, again and again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from drills.load.target import Target, kill_and_start

_DOWN_S = 0.5
_BETWEEN_S = 4.0


class Killer:
    """While it is entered, processes die, each in a rhythm of its own.

    ``killed`` counts by name; ``done`` is set after the last.
    """

    def __init__(self, target: Target, times: int) -> None:
        self.killed: Counter[str] = Counter()
        self.done = threading.Event()
        self._times = times
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor()
        self._victims = _victims(target)
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._main, *victim) for victim in self._victims.items()]
        threading.Thread(target=self._wait, name="killer", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        for each in self._running:
            if error is None:
                each.result()

    def _wait(self) -> None:
        wait(self._running)
        self.done.set()

    def _main(self, name: str, kill: Callable[[], None]) -> None:
        for _ in range(self._times):
            if self._stop.wait(_BETWEEN_S):
                return
            kill()
            self.killed[name] += 1
            sys.stderr.write(f"\rkilled {dict(self.killed)} ")


def _victims(target: Target) -> dict[str, Callable[[], None]]:
    stack, postgres = target.stack, target.postgres
    if stack is None:
        raise ValueError("only a stack of one's own is killed")
    victims: dict[str, Callable[[], None]] = {
        "host": lambda: kill_and_start(stack.host, _DOWN_S),
        "gpu": lambda: kill_and_start(stack.gpu, _DOWN_S),
        "simulator": lambda: kill_and_start(stack.simulator, _DOWN_S),
    }
    if postgres is not None:

        def kill_postgres() -> None:
            os.kill(postgres.pid, signal.SIGKILL)
            time.sleep(_DOWN_S)
            postgres.start()

        victims["postgres"] = kill_postgres
    return victims
