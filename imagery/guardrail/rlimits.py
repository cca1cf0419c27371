"""A worker's limits: at zero for good, or new ones for each order."""

from __future__ import annotations

import resource
import time

_MB = 1024 * 1024
_CPU_MARGIN_S = 5
# how Linux names the clock of a process's processor time
_CLOCK_OF_PROCESS = 2
_CLOSED = {
    "NOFILE": resource.RLIMIT_NOFILE,
    "FSIZE": resource.RLIMIT_FSIZE,
    "CORE": resource.RLIMIT_CORE,
}


def write_nothing() -> None:
    """Forbid written files, and core dumps with a picture in them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def open_nothing() -> None:
    """Forbid every new file and socket from here on."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def closed() -> tuple[str, ...]:
    """The limits of this process that are at zero."""
    return tuple(name for name, limit in _CLOSED.items() if resource.getrlimit(limit) == (0, 0))


def limit_own_order(memory_mb: int, timeout_s: float) -> None:
    """Memory for this process's next order, and processor time in case the host is gone and can't kill."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    for limit, value in _of_order(memory_mb, usage.ru_utime + usage.ru_stime + timeout_s):
        _, most = resource.getrlimit(limit)
        resource.setrlimit(limit, (value, most))


def limit_order_of(pid: int, memory_mb: int, timeout_s: float) -> None:
    """The same for another process of the same user, on Linux. Raises ``OSError``."""
    used_s = time.clock_gettime((~pid << 3) | _CLOCK_OF_PROCESS)
    for limit, value in _of_order(memory_mb, used_s + timeout_s):
        _, most = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (value, most))


def _of_order(memory_mb: int, processor_s: float) -> tuple[tuple[int, int], ...]:
    return (
        (resource.RLIMIT_AS, memory_mb * _MB),
        (resource.RLIMIT_CPU, int(processor_s) + _CPU_MARGIN_S),
    )
