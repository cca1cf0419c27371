"""TCP ports: the asked ones, or free ones where only defaults are taken."""

from __future__ import annotations

import socket
from dataclasses import dataclass


class PortTakenError(Exception):
    """A port that was asked for is in use."""


@dataclass(frozen=True)
class PortWish:
    """A port somebody wants; ``explicit`` when the user named it."""

    name: str
    number: int
    explicit: bool


def is_free(number: int) -> bool:
    """True when this machine could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def any_free() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose(wish: PortWish) -> int:
    """The wished port, or another where a default is taken. Raises ``PortTakenError``."""
    if is_free(wish.number):
        return wish.number
    if wish.explicit:
        raise PortTakenError(f"port {wish.number} is taken: set {wish.name} to another one, or free it")
    return any_free()
