"""Servers that tests count on. Each is looked at before every test, and one that died is started again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_LOG_CHARACTERS = 1500


class ServerLostError(RuntimeError):
    """A server died and could not be started again."""


class Server(Protocol):
    """What can be supervised."""

    @property
    def name(self) -> str: ...

    @property
    def mark(self) -> str:
        """The mark of the tests that need it."""
        ...

    @property
    def log(self) -> Path: ...

    def is_alive(self) -> bool:
        """True while its process runs."""
        ...

    def revive(self) -> None:
        """Start it again with the data that it had, and wait until it is ready."""
        ...


# these use servers of every kind
_NEEDS_ALL = {"stack", "browser"}
_kept: dict[int, Server] = {}
_lost: dict[int, str] = {}
_forbidding: list[str] = []


def keep(server: Server) -> None:
    """From now on nobody but ``release`` may end it."""
    for reason in _forbidding:
        raise RuntimeError(f"{server.name} may not be started here: {reason}")
    _kept[id(server)] = server


@contextmanager
def forbidden(reason: str) -> Iterator[None]:
    """No server may be started inside of the block."""
    _forbidding.append(reason)
    try:
        yield
    finally:
        _forbidding.pop()


def release(server: Server) -> None:
    """It is about to be ended on purpose."""
    _kept.pop(id(server), None)
    _lost.pop(id(server), None)


def revive(marks: Collection[str]) -> list[str]:
    """Start what died and is needed by a test with these marks. Returns a sentence about each, with the end
    of its log.

    Raises ``ServerLostError`` if one does not start, for every test that needs it.
    """
    needed = [server for server in _kept.values() if _NEEDS_ALL & set(marks) or server.mark in marks]
    return [_revived(server) for server in needed if not server.is_alive()]


def _revived(server: Server) -> str:
    if id(server) in _lost:
        raise ServerLostError(_lost[id(server)])
    end_of_log = server.log.read_text(errors="replace")[-_LOG_CHARACTERS:]
    where = f"The end of {server.log}:\n{end_of_log}"
    try:
        server.revive()
    except Exception as error:
        # it is still wanted, and nobody tries again: that would take a minute for each test
        _kept[id(server)] = server
        _lost[id(server)] = f"{server.name} died and does not start again: {error}\n{where}"
        raise ServerLostError(_lost[id(server)]) from error
    return f"{server.name} died and was started again. {where}"
