"""The run folder: its lock, its state, and what a killed stack leaves."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.orphans import end_orphans, start_mark
from local.state import AlreadyRunningError, RunFolder

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


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
