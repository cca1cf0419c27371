"""Landlock: the kernel's own list of what a process may reach, here nothing.

It stands behind the filter of system calls, and alone where that is missing.
"""

from __future__ import annotations

import ctypes
import os
import struct

from imagery.guardrail import kernel

_VERSION = 1
_NEWEST_ABI = 7
# rights on files, bit by bit as the ABIs brought them: read, write, run, make and remove; then refer,
# truncate, ioctl of devices
_FILE_BITS = {1: 13, 2: 14, 3: 15, 5: 16}
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_NET_SINCE, _SCOPES_SINCE = 4, 6


def rules(abi: int) -> bytes:
    """All that a kernel with ``abi`` can forbid, as its ``landlock_ruleset_attr``."""
    bits = max(count for since, count in _FILE_BITS.items() if since <= abi)
    words = [2**bits - 1]
    if abi >= _NET_SINCE:
        words.append(_BIND_TCP | _CONNECT_TCP)
    if abi >= _SCOPES_SINCE:
        words.append(_ABSTRACT_SOCKETS | _SIGNALS)
    return struct.pack(f"={len(words)}Q", *words)


def reach_nothing() -> int:
    """Forbid this thread, and those that it will start, every file, TCP connection and foreign signal.

    It needs a free descriptor. Returns the ABI whose rules hold. Raises ``OSError`` where there is none.
    """
    abi = min(kernel.call("landlock_create_ruleset", None, 0, _VERSION), _NEWEST_ABI)
    attributes = rules(abi)
    ruleset = kernel.call("landlock_create_ruleset", ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return abi
