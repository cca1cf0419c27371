"""The run folder: its lock, its state, and what a killed stack leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.orphans import end_orphans, start_mark
from local.state import AlreadyRunningError, NotPrivateError, RunFolder
from testbed.ports import free_port

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter, as a checkout may be; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def record(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    return {"pid": process.pid, "started": start_mark(process.pid)}


def test_the_state_stands_while_the_folder_is_held_and_is_gone_afterwards(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.write({"pids": {"stack": 1}})
        folder.write({"pids": {"stack": 2}})
        assert json.loads(folder.state_file.read_text()) == {"pids": {"stack": 2}}
        assert stat.S_IMODE(folder.state_file.stat().st_mode) == 0o600
        assert [path.name for path in folder.path.glob("state*")] == ["state.json"]
    assert not folder.state_file.exists()


def test_the_folder_is_its_owners_alone_and_one_that_was_open_is_closed(open_folder: Path) -> None:
    new, old = open_folder / "new", open_folder / "old"
    old.mkdir(mode=0o755)
    old.chmod(0o755)
    for path in (new, old):
        with RunFolder(path):
            assert mode(path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_nothing_of_a_folder_that_was_open_before(open_folder: Path) -> None:
    run = open_folder / "run"
    run.mkdir()
    (run / "imagery.db").write_text("rows")
    for path, bits in ((run, 0o755), (run / "imagery.db", 0o644)):
        path.chmod(bits)

    def stranger(*command: str) -> int:
        """The exit code of a program that somebody else runs."""
        return subprocess.run(command, user=65534, group=65534, extra_groups=[], check=False).returncode

    assert stranger("cat", str(run / "imagery.db")) == 0
    with RunFolder(run):
        assert stranger("cat", str(run / "imagery.db")) != 0
        assert stranger("ls", str(run)) != 0


def test_a_folder_that_others_share_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(NotPrivateError, match="choose another folder"), RunFolder(tmp_path):
        pass
    assert mode(tmp_path) == 0o1777


def test_what_the_stack_writes_is_its_owners_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "local.stack", "--run-dir", str(run), "--no-sample", "--once"]
    with socket.socket() as taken:
        # it ends before it starts anything
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        environment = os.environ | {"PORT": str(taken.getsockname()[1])}
        done = subprocess.run(
            command, env=environment, umask=0o022, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 2, done.stdout
    assert (mode(run), mode(run / "lock")) == (0o700, 0o600)


def test_a_second_stack_in_the_same_folder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.write({"pids": {"stack": 4242}})
        with pytest.raises(AlreadyRunningError, match="4242"), RunFolder(tmp_path):
            pass
        assert folder.read()["pids"]["stack"] == 4242
    with RunFolder(tmp_path):
        pass


@pytest.mark.parametrize("text", ["{", "[]", "", '{"processes": 3}', '{"processes": {"x": 1, "y": {}}}'])
def test_a_broken_stale_state_is_cleaned_up(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with RunFolder(tmp_path) as folder:
        assert folder.orphans == []
        assert not folder.state_file.exists()


def test_a_child_that_outlived_a_killed_stack_is_ended(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"processes": {"host": record(orphan)}}))
    with RunFolder(tmp_path) as folder:
        assert folder.orphans == ["host"]
        assert orphan.wait(5) == -signal.SIGTERM


def test_a_stranger_that_got_the_pid_of_a_child_is_left_alone(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    stale = {"processes": {"host": {"pid": orphan.pid, "started": "1"}}}
    (tmp_path / "state.json").write_text(json.dumps(stale))
    with RunFolder(tmp_path) as folder:
        assert folder.orphans == []
    assert orphan.poll() is None


def test_an_orphan_that_ignores_sigterm_is_killed() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert end_orphans({"processes": {"gpu": record(process)}}, limit_s=0.2) == ["gpu"]
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()


def test_a_process_that_is_gone_has_no_start_mark(orphan: subprocess.Popen[bytes]) -> None:
    assert start_mark(os.getpid()) == start_mark(os.getpid()) is not None
    orphan.kill()
    orphan.wait()
    assert start_mark(orphan.pid) is None
