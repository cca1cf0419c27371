"""Linux's system calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_POINTER_BYTES = 8


@dataclass(frozen=True)
class Machine:
    """A processor as the kernel sees it: ``audit`` is its name in a seccomp filter.

    ``names``: the calls that we speak of, by their names; what a machine does not have is missing.
    """

    audit: int
    names: dict[str, int]


# the numbers of arch/x86/entry/syscalls/syscall_64.tbl
_X86_64 = {
    "read": 0,
    "write": 1,
    "close": 3,
    "poll": 7,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "ioctl": 16,
    "readv": 19,
    "writev": 20,
    "select": 23,
    "sched_yield": 24,
    "mremap": 25,
    "mincore": 27,
    "madvise": 28,
    "nanosleep": 35,
    "getpid": 39,
    "sendto": 44,
    "recvfrom": 45,
    "shutdown": 48,
    "clone": 56,
    "execve": 59,
    "exit": 60,
    "getcwd": 79,
    "gettimeofday": 96,
    "getrlimit": 97,
    "getrusage": 98,
    "sysinfo": 99,
    "times": 100,
    "ptrace": 101,
    "getppid": 110,
    "capset": 126,
    "sigaltstack": 131,
    "sched_getparam": 143,
    "sched_getscheduler": 145,
    "sched_get_priority_max": 146,
    "sched_get_priority_min": 147,
    "prctl": 157,
    "gettid": 186,
    "time": 201,
    "futex": 202,
    "sched_getaffinity": 204,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "tgkill": 234,
    "pselect6": 270,
    "ppoll": 271,
    "set_robust_list": 273,
    "prlimit64": 302,
    "getcpu": 309,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "seccomp": 317,
    "getrandom": 318,
    "execveat": 322,
    "membarrier": 324,
    "rseq": 334,
}
# the numbers of include/uapi/asm-generic/unistd.h
_AARCH64 = {
    "getcwd": 17,
    "ioctl": 29,
    "close": 57,
    "read": 63,
    "write": 64,
    "readv": 65,
    "writev": 66,
    "pselect6": 72,
    "ppoll": 73,
    "capset": 91,
    "exit": 93,
    "exit_group": 94,
    "futex": 98,
    "set_robust_list": 99,
    "nanosleep": 101,
    "clock_gettime": 113,
    "clock_getres": 114,
    "clock_nanosleep": 115,
    "ptrace": 117,
    "sched_getscheduler": 120,
    "sched_getparam": 121,
    "sched_getaffinity": 123,
    "sched_yield": 124,
    "sched_get_priority_max": 125,
    "sched_get_priority_min": 126,
    "restart_syscall": 128,
    "tgkill": 131,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "times": 153,
    "getrlimit": 163,
    "getrusage": 165,
    "prctl": 167,
    "getcpu": 168,
    "gettimeofday": 169,
    "getpid": 172,
    "getppid": 173,
    "gettid": 178,
    "sysinfo": 179,
    "sendto": 206,
    "recvfrom": 207,
    "shutdown": 210,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "clone": 220,
    "execve": 221,
    "mmap": 222,
    "mprotect": 226,
    "mincore": 232,
    "madvise": 233,
    "prlimit64": 261,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "seccomp": 277,
    "getrandom": 278,
    "execveat": 281,
    "membarrier": 283,
    "rseq": 293,
}
# of both, as all calls that are newer than 2019
_COMMON = {
    "clone3": 435,
    "landlock_create_ruleset": 444,
    "landlock_restrict_self": 446,
}
# the newest call that a number above stands beside: what is newer, we have not heard of
NEWEST_CALL = 450
_MACHINES = {
    "x86_64": Machine(0xC000003E, _X86_64 | _COMMON),
    "aarch64": Machine(0xC00000B7, _AARCH64 | _COMMON),
}


@lru_cache(maxsize=1)
def machine() -> Machine | None:
    """The machine that this process runs on; None if it is not Linux, 64 bit and one of those we know."""
    if sys.platform != "linux" or struct.calcsize("P") != _POINTER_BYTES:
        return None
    return _MACHINES.get(platform.machine())


def call(name: str, *arguments: Any) -> int:
    """Make the system call ``name``. Returns its result, raises ``OSError``."""
    known = machine()
    if known is None:
        raise OSError(f"no system calls are known for {sys.platform} on {platform.machine()}")
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument
        for argument in (known.names[name], *arguments)
    ]
    return _checked(_libc().syscall(*words))


def gain_nothing() -> None:
    """No program that this process starts gets rights that it has not: without it there is no filter.

    Raises ``OSError``.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> bool:
    """Close this process's memory and environment to the user's other processes. True if it is so.

    ``/proc/PID/mem`` and ``/proc/PID/environ`` then belong to root, a debugger can't attach, and there are no
    core dumps.
    """
    try:
        _prctl(_PR_SET_DUMPABLE, 0)
    except OSError:
        return False
    return True


def drop_capabilities() -> None:
    """Give up what root may do beyond others. Raises ``OSError``."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    call("capset", ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        raise OSError("prctl is a call of Linux")
    _checked(_libc().prctl(*(ctypes.c_ulong(each) for each in (option, value, 0, 0, 0))))


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
