"""kill -9 of each process of a fresh stack, in turn, again and again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.load.target import Target, kill_and_start

_DOWN_S = 0.5
_BETWEEN_S = 1.5


class Killer:
    """While it is entered, processes die. ``killed`` counts by name; ``done`` is set after the last."""

    def __init__(self, target: Target, times: int) -> None:
        self.killed: dict[str, int] = {}
        self.done = threading.Event()
        self._victims = _victims(target)
        self._times = times
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._main, name="killer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _main(self) -> None:
        try:
            for _ in range(self._times):
                for name, kill in self._victims.items():
                    if self._stop.wait(_BETWEEN_S):
                        return
                    kill()
                    self.killed[name] = self.killed.get(name, 0) + 1
        except Exception as error:
            self._error = error
        finally:
            self.done.set()


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
