"""Memory of this process: what pictures took goes back to the machine, and does not stay for the next burst.

glibc keeps freed memory in arenas, one for each thread that ever allocated, and takes ever larger blocks from
them after large ones were freed: 64 pictures at once left four times the memory that the service began with.
"""

from __future__ import annotations

import ctypes
import gc

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# rows of pictures are larger than this: each has pages of its own, which free() returns at once
_OWN_PAGES_FROM = 1024 * 1024
_ARENAS = 2


def bound() -> bool:
    """Call before threads are started. Returns False where the C library knows no such limits."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_ARENA_MAX, _ARENAS) and mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_FROM))


def give_back() -> None:
    """Return free memory to the machine."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        # another C library does it by itself, or not at all
        return
