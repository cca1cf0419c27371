"""A decoder that was taken over tries to get out of its worker, and everything it tries is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import pytest

from drills.hostile.inputs import heic
from imagery.contracts import JobOptions
from imagery.guardrail import kernel, sandbox, seccomp
from imagery.guardrail.walls import Walls
from imagery.settings import Settings
from testbed.pictures import encoded
from testbed.stack import ROOT
from tests.imagery.guardrail.conftest import Make
from tests.imagery.guardrail.exploit.attempts import ATTEMPTS
from tests.imagery.guardrail.exploit.decoder import DONE, Mode
from tests.imagery.guardrail.exploit.needs import CRASHES, NEEDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(kernel.machine() is None, reason="walls are built of Linux's system calls"),
]
_LIMIT_S = 240
_NOBODY = 65534
_FILES = ("file", "unlinked", "unlinked-at", "renamed", "renamed-at", "renamed-at-2")
# it would end the host
_NEVER_WITHOUT_FILTER = {"kill KILL"}
# without walls these would end the process that tries them, or wait for a descriptor
_NEVER_IN_THE_OPEN = {*_NEVER_WITHOUT_FILTER, "vfork", "other descriptors"}
# a system may refuse these to an ordinary user, or to a container, by the same error as the wall
_RIGHTS_NEEDED = {
    "add_key",
    "bpf",
    "chroot",
    "clone namespace",
    "fanotify_init",
    "keyctl",
    "mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "prlimit64 NOFILE",
    "read /proc/HOST/mem",
    "setns",
    "setrlimit",
    "unshare",
    "userfaultfd",
    "io_uring_setup",
}
# what the other walls hold where there is no filter
_HELD_WITHOUT_FILTER = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "read /proc/HOST/mem",
    "open /proc/HOST/environ",
    "open /proc/HOST/fd",
    "open /etc/passwd",
    "openat2 /etc/passwd",
    "openat for writing",
    "openat O_PATH",
    "socket inet",
    "socketpair",
    "memfd_create",
    "io_uring_setup",
    "prlimit64 NOFILE",
)
_HELD_BY_HIDDEN_MEMORY = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "read /proc/HOST/mem",
    "open /proc/HOST/environ",
)
_SCOPES_SINCE = 6
# what Landlock holds, and since which ABI
_HELD_BY_LANDLOCK = {
    "execve": 1,
    "unlink": 1,
    "rename": 1,
    "symlink": 1,
    "link": 1,
    "mkdir": 1,
    "truncate": 3,
    "kill 0": _SCOPES_SINCE,
    "tkill": _SCOPES_SINCE,
    "tgkill": _SCOPES_SINCE,
    "rt_sigqueueinfo": _SCOPES_SINCE,
}
_USERS: dict[str, list[str]] = {"as this user": []}
if os.getuid() == 0 and shutil.which("setpriv"):
    # a user who is not root, but may read this interpreter wherever it lies
    _USERS["as an ordinary user"] = [
        "setpriv",
        f"--reuid={_NOBODY}",
        f"--regid={_NOBODY}",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
    ]

# not root where there is another: what root may do, it may do without a filter
_OTHER = list(_USERS)[-1]


@cache
def outcomes(mode: Mode, user: str) -> dict[str, Any]:
    """What came of each attempt of a real host's worker, which has a folder of its user before it."""
    folder = Path(mkdtemp(prefix="exploit-"))
    try:
        for name in _FILES:
            (folder / name).write_text(name)
        (folder / "empty").mkdir()
        if _USERS[user]:
            for path in (folder, *folder.iterdir()):
                os.chown(path, _NOBODY, _NOBODY)
        return _tried(mode, user, folder)
    finally:
        shutil.rmtree(folder)


def _tried(mode: Mode, user: str, folder: Path) -> dict[str, Any]:
    left_out = {Mode.WALLED: set[str](), Mode.UNFILTERED: _NEVER_WITHOUT_FILTER}.get(mode, _NEVER_IN_THE_OPEN)
    tried = [name for name in (*NEEDS, *CRASHES, *ATTEMPTS) if name not in left_out]
    command = [*_USERS[user], sys.executable, "-m", "tests.imagery.guardrail.exploit.host"]
    done = subprocess.run(
        [*command, mode, str(folder), *tried],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


@pytest.fixture(params=_USERS)
def user(request: pytest.FixtureRequest) -> str:
    """Who runs host and worker."""
    return str(request.param)


def _refusal(attempt: str) -> str:
    if attempt in seccomp.LETHAL:
        return f"ended with {-signal.SIGSYS}"
    return {"clone3": "ENOSYS", "other descriptors": "EBADF"}.get(attempt, "EPERM")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_exploited_decoder_is_refused(attempt: str, user: str) -> None:
    assert outcomes(Mode.WALLED, user)[attempt] == _refusal(attempt)


@pytest.mark.parametrize("attempt", sorted(set(ATTEMPTS) - _NEVER_IN_THE_OPEN))
def test_it_is_the_walls_that_refuse(attempt: str) -> None:
    """Without them the attempt succeeds, or fails for a reason of its own."""
    outcome = outcomes(Mode.OPEN, "as this user")[attempt]
    if os.getuid() != 0 and attempt in _RIGHTS_NEEDED:
        pytest.skip(f"{outcome} may be the answer to any ordinary user")
    assert outcome != _refusal(attempt)


@pytest.mark.parametrize(
    ("mode", "user"),
    [(Mode.WALLED, "as this user"), (Mode.OPEN, "as this user"), (Mode.UNFILTERED, _OTHER)],
)
def test_a_decoder_works_and_crashes_as_without_walls(mode: Mode, user: str) -> None:
    found = outcomes(mode, user)
    assert {name: found[name] for name in NEEDS} == dict.fromkeys(NEEDS, DONE)
    assert {name: found[name] for name in CRASHES} == {
        name: f"ended with {-signal.Signals[name]}" for name in CRASHES
    }


def test_every_wall_stands(user: str) -> None:
    walls = Walls.from_json(outcomes(Mode.WALLED, user)["walls"])
    assert (walls.seccomp, walls.no_capabilities, walls.hidden_memory) == (True, True, True)
    assert set(walls.rlimits) == {"NOFILE", "FSIZE", "CORE"}


@pytest.mark.parametrize("attempt", _HELD_WITHOUT_FILTER)
def test_the_other_walls_hold_where_there_is_no_filter(attempt: str) -> None:
    found = outcomes(Mode.UNFILTERED, _OTHER)
    assert found["walls"]["seccomp"] is False
    assert found[attempt] not in {DONE, "raised"}
    assert not found[attempt].startswith("ended")


@pytest.mark.parametrize("attempt", _HELD_BY_HIDDEN_MEMORY)
def test_the_memory_of_the_host_is_hidden_from_its_user(attempt: str) -> None:
    """Also where a worker has no walls at all, unless it is root's."""
    ordinary = [name for name, command in _USERS.items() if command or os.getuid() != 0]
    if not ordinary:
        pytest.skip("there is no way to another user here")
    assert outcomes(Mode.HIDDEN, ordinary[0])[attempt] in {"EPERM", "EACCES"}


@pytest.mark.parametrize("attempt", _HELD_BY_LANDLOCK)
def test_landlock_holds_where_there_is_no_filter(attempt: str) -> None:
    found = outcomes(Mode.UNFILTERED, _OTHER)
    if found["walls"]["landlock_abi"] < _HELD_BY_LANDLOCK[attempt]:
        pytest.skip("this kernel's Landlock does not know of it")
    assert found[attempt] in {"EACCES", "EPERM"}


def test_every_format_is_read_behind_the_walls(make: Make) -> None:
    guardrail = make(BLOCKED_PICTURE_HASHES="ffffffff00000000")
    for data in (encoded(), encoded("JPEG"), encoded("WEBP"), encoded("AVIF"), encoded("TIFF"), heic()):
        assert guardrail.examine(data, None, JobOptions()).report.code is None
    assert guardrail.thumbnail(encoded("JPEG"), 32)
    (pid,) = guardrail.sandbox.pids
    assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE) == (0, 0)
    lines = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {name: value.strip() for name, value in lines}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status["CapEff"], 16) == 0
    assert status["Threads"] == "1", "Landlock binds a thread: another one would be free"


class Lines:
    """A logger that keeps what is logged."""

    def __init__(self) -> None:
        self.walls: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **values: Any) -> None:
        """Keep a line of level info."""
        self._keep("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Keep a warning."""
        self._keep("warning", event, values)

    def _keep(self, level: str, event: str, values: dict[str, Any]) -> None:
        if event == "guardrail_walls":
            self.walls.append((level, values))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What the sandbox logs of its walls."""
    kept = Lines()
    monkeypatch.setattr(sandbox, "_log", kept)
    return kept


def test_a_kernel_without_filters_is_warned_of_and_serves(
    make: Make, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    monkeypatch.setattr(sandbox, "_WORKER", "tests.imagery.guardrail.exploit.unfiltered")
    guardrail = make()
    for _ in range(2):
        assert guardrail.examine(encoded("JPEG"), None, JobOptions()).report.admitted
    assert guardrail.thumbnail(encoded("JPEG"), 32)
    ((level, values),) = lines.walls
    assert (level, values["seccomp"]) == ("warning", False)
    assert any(reason.startswith("seccomp: ") for reason in values["missing"])


def test_walls_are_logged_once(make: Make, lines: Lines) -> None:
    guardrail = make()
    for _ in range(2):
        assert guardrail.examine(encoded("JPEG"), None, JobOptions()).report.admitted
    ((level, values),) = lines.walls
    assert (level, values["seccomp"], values["host_hidden"]) == ("info", True, True)


def test_each_order_has_its_own_limit_on_memory(make: Make) -> None:
    """The host sets it: a process behind its filter can't change it."""
    guardrail, words = make(), Settings().guardrail.sandbox
    seen = []
    for _ in range(2):
        assert guardrail.examine(encoded(), None, JobOptions()).report.admitted
        (pid,) = guardrail.sandbox.pids
        seen.append(psutil.Process(pid).rlimit(psutil.RLIMIT_AS)[0])
        assert guardrail.thumbnail(encoded("JPEG"), 32)
        seen.append(psutil.Process(pid).rlimit(psutil.RLIMIT_AS)[0])
    assert guardrail.sandbox.pids == [pid]
    assert seen == 2 * [words.memory_mb * 2**20, words.thumbnail_memory_mb * 2**20]
