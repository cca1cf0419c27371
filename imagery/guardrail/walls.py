"""What stands between a decoder that was taken over and everything else.

The worker puts the walls up itself, when it has loaded all it needs and before it reads the first file; none
can be taken down. A kernel or a container may refuse some of them: the worker works all the same, and says
which ones stand.
"""

from __future__ import annotations

from collections.abc import Callable

from imagery.contracts import Message
from imagery.guardrail import kernel, landlock, rlimits, seccomp


class Walls(Message):
    """The walls of one worker.

    ``seccomp``: system calls are filtered. ``landlock_abi``: whose rules hold, 0 for none.
    ``no_capabilities``: root's rights are given up. ``hidden_memory``: it can't be read from outside, nor
    dumped. ``rlimits``: the limits that are at zero. ``missing``: why a wall does not stand.
    """

    seccomp: bool = False
    landlock_abi: int = 0
    no_capabilities: bool = False
    hidden_memory: bool = False
    rlimits: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def put_up_walls() -> Walls:
    """Put up every wall that the kernel has: nothing is opened, started or signalled from here on."""
    missing: list[str] = []

    def stands(name: str, wall: Callable[[], int | None]) -> int:
        try:
            result = wall()
        except OSError as error:
            missing.append(f"{name}: {error}")
            return 0
        return 1 if result is None else result

    hidden = kernel.hide_memory()
    stands("no_new_privs", kernel.gain_nothing)
    no_capabilities = stands("capabilities", kernel.drop_capabilities)
    abi = stands("landlock", landlock.reach_nothing)
    rlimits.open_nothing()
    closed = rlimits.closed()
    filtered = stands("seccomp", seccomp.filter_calls)
    return Walls(
        seccomp=bool(filtered),
        landlock_abi=abi,
        no_capabilities=bool(no_capabilities),
        hidden_memory=hidden,
        rlimits=closed,
        missing=tuple(missing),
    )
