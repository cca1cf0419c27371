"""TCP ports: the requested ones, or free ones in place of defaults that are taken. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"
_LARGEST = 65535
_ATTEMPTS = 200
_SPARE = range(20000, 32000)


class PortTakenError(Exception):
    """A requested port is in use, or is not a port."""


@dataclass(frozen=True)
class PortWish:
    """A wanted port; ``explicit`` if the user named it."""

    name: str
    number: int
    explicit: bool


def is_free(number: int) -> bool:
    """True if this machine could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def choose(wishes: list[PortWish]) -> dict[str, int]:
    """A port for each wish, all different, by name: the wished one, or another where a default is taken.

    Raises ``PortTakenError`` if an explicit wish can't be met.
    """
    chosen: dict[str, int] = {}
    for wish in sorted(wishes, key=lambda each: not each.explicit):
        if _is_usable(wish.number) and wish.number not in chosen.values():
            chosen[wish.name] = wish.number
        elif wish.explicit:
            raise PortTakenError(_refusal(wish, chosen))
        else:
            chosen[wish.name] = any_free(set(chosen.values()) | {each.number for each in wishes})
    return {wish.name: chosen[wish.name] for wish in wishes}


def holder(number: int) -> str | None:
    """Returns who listens on the port, as ``pid 12 (node)``; None if /proc does not show it."""
    inodes = set(_listening_inodes(number))
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_socket_inode(link) in inodes for link in (process / "fd").iterdir()):
                return f"pid {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _is_usable(number: int) -> bool:
    return 0 < number <= _LARGEST and is_free(number)


def any_free(taken: AbstractSet[int] = frozenset()) -> int:
    """Returns a free port that is not in ``taken``. Raises ``PortTakenError`` if there is none.

    It lies below the range of outgoing connections, so that none of them takes it before somebody listens,
    and is random, so that two stacks that start together get different ports.
    """
    for _ in range(_ATTEMPTS):
        number = secrets.choice(_SPARE)
        if number not in taken and is_free(number):
            return number
    raise PortTakenError("this machine has no free port")


def _refusal(wish: PortWish, chosen: dict[str, int]) -> str:
    if not 0 < wish.number <= _LARGEST:
        return f"{wish.name}={wish.number} is not a port: it must be 1 to {_LARGEST}"
    rivals = [name for name, number in chosen.items() if number == wish.number]
    who = rivals[0] if rivals else holder(wish.number) or "another program"
    return f"{wish.name}={wish.number} is taken by {who}: set {wish.name} to another port, or free it"


def _listening_inodes(number: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == number:
                    yield fields[9]


def _socket_inode(link: Path) -> str | None:
    with contextlib.suppress(OSError):
        found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))  # noqa: PTH115  # not a path
        return found.group(1) if found else None
    return None
