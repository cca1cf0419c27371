"""The filter and the rules as the kernel reads them, for machines and kernels that the tests don't have."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass

import pytest

from imagery.guardrail import kernel, landlock, seccomp
from imagery.guardrail.kernel import _MACHINES, Machine

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_EXEC, _WRITE = 4, 3
_THREAD, _FORK, _NEW_USER = 0x3D0F00, 17, 0x10000000
_I386 = 0x40000003


@dataclass(frozen=True)
class Filter:
    """One machine's filter, and the part of BPF that it needs."""

    machine: Machine

    def verdict(self, call: str | int, *arguments: int, audit: int | None = None) -> int:
        """What the filter returns for a call."""
        number = self.machine.names[call] if isinstance(call, str) else call
        six = (*arguments, *(0 for _ in range(6 - len(arguments))))
        data = struct.pack("<IIQ6Q", number, audit or self.machine.audit, 0, *six)
        code = list(struct.iter_unpack("=HBBI", seccomp.program(self.machine)))
        at = word = 0
        while True:
            kind, then, otherwise, value = code[at]
            at += 1
            match kind:
                case 0x20:
                    (word,) = struct.unpack_from("<I", data, value)
                case 0x54:
                    word &= value
                case 0x15:
                    at += then if word == value else otherwise
                case 0x35:
                    at += then if word >= value else otherwise
                case 0x45:
                    at += then if word & value else otherwise
                case 0x06:
                    return int(value)
                case _:
                    raise AssertionError(f"unknown instruction {kind:#x}")


@pytest.fixture(params=_MACHINES)
def filter_(request: pytest.FixtureRequest) -> Filter:
    """The filter of each machine that we know."""
    return Filter(_MACHINES[request.param])


def test_what_decoders_need_is_allowed(filter_: Filter) -> None:
    for name in ("read", "sendto", "recvfrom", "futex", "munmap", "madvise", "exit_group"):
        assert filter_.verdict(name) == _ALLOW, name
    assert filter_.verdict("mmap", 0, 4096, _WRITE) == _ALLOW
    assert filter_.verdict("mprotect", 0, 4096, _WRITE) == _ALLOW
    assert filter_.verdict("clone", _THREAD) == _ALLOW
    assert filter_.verdict("tgkill", os.getpid(), 1, 6) == _ALLOW
    assert filter_.verdict("prlimit64", 0, 7, 0, 1) == _ALLOW


def test_arguments_that_lead_out_are_refused(filter_: Filter) -> None:
    refused = (
        ("mmap", 0, 4096, _WRITE | _EXEC),
        ("mprotect", 0, 4096, _EXEC),
        ("clone", _FORK),
        ("clone", _THREAD | _NEW_USER),
        ("tgkill", os.getppid(), 1, 6),
        ("prlimit64", 1, 7, 0, 1),
        ("prlimit64", 0, 7, 1, 0),
        # a pointer whose lower half is empty
        ("prlimit64", 0, 7, 1 << 32, 0),
        ("ioctl", 0, 0x5412),
        ("prctl", 4, 1),
    )
    for name, *arguments in refused:
        assert filter_.verdict(str(name), *map(int, arguments)) == _EPERM, (name, arguments)


def test_attacks_and_other_machines_end_the_process(filter_: Filter) -> None:
    for name in ("ptrace", "process_vm_readv", "process_vm_writev", "execve", "execveat"):
        assert filter_.verdict(name) == _KILL
    assert filter_.verdict("read", audit=_I386) == _KILL
    # the 32 bit ABI of x86_64 has numbers of its own
    assert filter_.verdict(0x40000000 | filter_.machine.names["read"]) == _KILL


def test_a_call_that_nobody_has_heard_of_does_not_exist(filter_: Filter) -> None:
    assert filter_.verdict("clone3") == _ENOSYS
    assert filter_.verdict(kernel.NEWEST_CALL + 1) == _ENOSYS
    assert filter_.verdict(kernel.NEWEST_CALL) == _EPERM


@pytest.mark.parametrize(
    ("abi", "words"),
    [
        (1, (0x1FFF,)),
        (2, (0x3FFF,)),
        (3, (0x7FFF,)),
        (4, (0x7FFF, 3)),
        (5, (0xFFFF, 3)),
        (6, (0xFFFF, 3, 3)),
        (7, (0xFFFF, 3, 3)),
    ],
)
def test_landlock_forbids_all_that_its_abi_knows(abi: int, words: tuple[int, ...]) -> None:
    assert landlock.rules(abi) == struct.pack(f"={len(words)}Q", *words)
