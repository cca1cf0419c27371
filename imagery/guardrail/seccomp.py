"""The filter of the worker's system calls.

It lists what a decoder needs once everything is loaded, not what is forbidden: a call that nobody thought of,
or that a later kernel brings, is closed. Such a list is sturdy here because opening files is over by then,
and because a library that misses a call gets an error: EPERM, or ENOSYS for what is newer than the list, so
that a newer libc takes the older way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import termios
from dataclasses import dataclass

from imagery.guardrail import kernel

# nothing but an attack calls these: they end the process
LETHAL = ("ptrace", "process_vm_readv", "process_vm_writev", "execve", "execveat")
_ALLOWED = (
    "read",
    "write",
    "readv",
    "writev",
    "recvfrom",
    "sendto",
    "shutdown",
    "close",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "futex",
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "mincore",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "getrandom",
    "getpid",
    "getppid",
    "gettid",
    "getcpu",
    # Pillow asks for it when it saves, and does not use it
    "getcwd",
    "getrlimit",
    "getrusage",
    "sysinfo",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "set_robust_list",
    "rseq",
    "membarrier",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "restart_syscall",
    "exit",
    "exit_group",
)
# what a thread shares with its process: all of it
_CLONE_SHARED = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
# a namespace, a descriptor of the child or a tracer of it
_CLONE_FORBIDDEN = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x20000 | 0x02000000 | 0x7C000000
_PROT_EXEC = 4
_PR_SET_NAME = 15

_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
# calls of the 32 bit ABI of x86_64
_X32 = 0x40000000
_INSTRUCTION = struct.Struct("=HBBI")
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALL_BITS = 0xFFFFFFFF


@dataclass(frozen=True)
class Demand:
    """The lower or upper half of an argument, under a mask, must have a value."""

    argument: int
    value: int
    mask: int = _ALL_BITS
    upper: bool = False

    def code(self, to_denial: int) -> list[bytes]:
        """Instructions that go on, or jump over ``to_denial`` others."""
        offset = _ARGUMENTS_AT + 8 * self.argument + (4 if self.upper else 0)
        return [
            _do(_LOAD, offset),
            _do(_AND, self.mask),
            _do(_EQUAL, self.value, otherwise=to_denial),
        ]


def _demands() -> dict[str, tuple[Demand, ...]]:
    """Calls that depend on their arguments."""
    return {
        # memory never becomes code
        "mmap": (Demand(2, 0, _PROT_EXEC),),
        "mprotect": (Demand(2, 0, _PROT_EXEC),),
        # libraries decode in threads; a process is not one
        "clone": (Demand(0, _CLONE_SHARED, _CLONE_SHARED | _CLONE_FORBIDDEN),),
        # Python sets a socket's time limit by it
        "ioctl": (Demand(1, termios.FIONBIO),),
        "prctl": (Demand(0, _PR_SET_NAME),),
        # a signal to itself: abort
        "tgkill": (Demand(0, os.getpid()),),
        # its own limits may be read; its host sets them
        "prlimit64": (Demand(0, 0), Demand(2, 0), Demand(2, 0, upper=True)),
    }


def program(machine: kernel.Machine) -> bytes:
    """The filter of this process as BPF instructions."""
    names = machine.names
    code = [
        _do(_LOAD, _ARCHITECTURE_AT),
        _do(_EQUAL, machine.audit, then=1),
        _do(_RETURN, _KILL),
        _do(_LOAD, _NUMBER_AT),
        *_if(_ANY_BIT, _X32, _KILL),
        *_if(_AT_LEAST, kernel.NEWEST_CALL + 1, _ERROR | errno.ENOSYS),
        # its flags lie in memory, where a filter can't look: libc takes clone instead
        *_if(_EQUAL, names["clone3"], _ERROR | errno.ENOSYS),
    ]
    for name in LETHAL:
        code += _if(_EQUAL, names[name], _KILL)
    for name in _ALLOWED:
        if name in names:
            code += _if(_EQUAL, names[name], _ALLOW)
    for name, demands in _demands().items():
        code += _only_if(names[name], demands)
    return b"".join([*code, _do(_RETURN, _ERROR | errno.EPERM)])


def filter_calls() -> None:
    """Lay the filter on every thread of this process, for good. Raises ``OSError`` where there is none."""
    machine = kernel.machine()
    if machine is None:
        raise OSError(errno.ENOSYS, "no filter is known for this machine")
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    refusing_thread = kernel.call("seccomp", _SET_MODE_FILTER, _ALL_THREADS, ctypes.c_char_p(header))
    if refusing_thread:
        raise OSError(errno.ESRCH, "a thread could not be filtered")


def _do(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, then, otherwise, value)


def _if(test: int, value: int, verdict: int) -> list[bytes]:
    return [_do(test, value, otherwise=1), _do(_RETURN, verdict)]


def _only_if(number: int, demands: tuple[Demand, ...]) -> list[bytes]:
    """Allow call ``number`` with arguments as demanded, and deny it with others."""
    body = [_do(_RETURN, _ALLOW), _do(_RETURN, _ERROR | errno.EPERM)]
    for demand in reversed(demands):
        # the denial is the last one of what stands behind the demand
        body = demand.code(len(body) - 1) + body
    return [_do(_EQUAL, number, otherwise=len(body)), *body]
