"""Children of the stack, with real processes: readiness, restarts within bounds, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.orphans import start_mark
from local.processes import Child, StartError, Supervisor, stop_all
from testbed.ports import free_port

ROOT = Path(__file__).parent.parent.parent
Maker = Callable[..., Child]


@pytest.fixture
def make_child(tmp_path: Path) -> Iterator[Maker]:
    made: list[Child] = []

    def make(*options: str, name: str = "piece") -> Child:
        port = free_port()
        command = [sys.executable, str(ROOT / "tests/local/piece.py"), str(port), *options]
        url = f"http://127.0.0.1:{port}/readyz"
        log = tmp_path / "logs" / f"{name}.log"
        child = Child(name, command, dict(os.environ), url, log, hint="the way out")
        made.append(child)
        return child

    yield make
    stop_all(made, limit_s=0.1)


def never() -> None:
    """Nobody asks to stop."""


def is_gone(pid: int) -> bool:
    return start_mark(pid) is None


def wait_until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_a_child_is_ready_once_it_answers_well(make_child: Maker) -> None:
    child = make_child("--ready-after-s", "0.5")
    started = time.monotonic()
    child.start()
    child.wait_ready(10, never)
    assert time.monotonic() - started >= 0.5
    assert child.is_running


def test_a_child_that_ends_while_starting_is_told_with_its_log_and_the_way_out(make_child: Maker) -> None:
    child = make_child("--no-such-option")
    child.start()
    with pytest.raises(StartError, match=r"(?s)exit code 2 .*unrecognized arguments.*the way out"):
        child.wait_ready(10, never)


def test_a_child_that_never_gets_ready_is_given_up_in_time(make_child: Maker) -> None:
    child = make_child("--ready-after-s", "60")
    child.start()
    with pytest.raises(StartError, match=r"(?s)not healthy within 1 s.*a line of the log.*the way out"):
        child.wait_ready(1, never)


def test_a_child_that_refuses_strangers_is_ready_only_where_that_is_enough(make_child: Maker) -> None:
    child = make_child("--status", "403")
    child.start()
    with pytest.raises(StartError):
        child.wait_ready(0.5, never)
    child.ready_below = 500
    child.wait_ready(5, never)


def test_a_child_whose_setup_failed_is_not_waited_for(make_child: Maker) -> None:
    child = make_child("--state", "SETUP_FAILED", "--status", "503")
    child.health_url = child.ready_url
    child.start()
    started = time.monotonic()
    with pytest.raises(StartError, match=r"(?s)the file is gone.*the way out"):
        child.wait_ready(60, never)
    assert time.monotonic() - started < 30


def test_another_program_that_answers_on_the_port_does_not_make_a_dead_child_ready(make_child: Maker) -> None:
    other, child = make_child(name="other"), make_child("--no-such-option")
    other.start()
    other.wait_ready(10, never)
    child.ready_url = other.ready_url
    child.start()
    assert child.process is not None
    child.process.wait(10)
    with pytest.raises(StartError, match="exit code 2"):
        child.wait_ready(10, never)


def test_a_wait_ends_when_somebody_asks_to_stop(make_child: Maker) -> None:
    class AskedError(Exception):
        pass

    def ask() -> None:
        raise AskedError

    child = make_child("--ready-after-s", "60")
    child.start()
    with pytest.raises(AskedError):
        child.wait_ready(60, ask)


def test_a_program_that_does_not_exist_is_told(make_child: Maker) -> None:
    child = make_child()
    child.command = ["/no/such/program"]
    with pytest.raises(StartError, match=r"piece could not be started.*the way out"):
        child.start()


def test_a_piece_that_runs_once_must_end_well(make_child: Maker) -> None:
    child = make_child()
    child.command = [sys.executable, "-c", "import sys; sys.exit('no such database')"]
    child.start()
    assert child.process is not None
    child.process.wait(10)
    with pytest.raises(StartError, match=r"(?s)exit code 1.*no such database.*the way out"):
        child.check_success()


def test_the_log_of_the_run_before_is_kept_aside(make_child: Maker) -> None:
    child = make_child()
    child.log.parent.mkdir()
    child.log.write_text("yesterday")
    child.start()
    child.wait_ready(10, never)
    assert child.log.read_text() == "a line of the log\n"
    assert child.log.with_suffix(".old").read_text() == "yesterday"


def test_a_dead_child_is_started_again_and_that_is_said(make_child: Maker) -> None:
    said: list[str] = []
    child = make_child()
    supervisor = Supervisor([child], said.append, first_wait_s=0.01)
    child.start()
    child.wait_ready(10, never)
    assert not supervisor.look()
    first, mark = child.pid, child.started
    child.signal(signal.SIGKILL)
    wait_until(supervisor.look)
    child.wait_ready(10, never)
    assert child.pid != first
    assert child.started is not None
    assert child.started >= str(mark)
    assert "ended by signal 9" in said[0]
    assert f"started again (pid {child.pid})" in said[1]


def test_restarts_end_at_their_bound_and_wait_longer_each_time(make_child: Maker) -> None:
    said: list[str] = []
    child = make_child("--end-after-s", "0")
    supervisor = Supervisor([child], said.append, most_restarts=3, first_wait_s=0.1, longest_wait_s=0.3)
    child.start()
    began = time.monotonic()

    def look_until_the_end() -> None:
        while time.monotonic() < began + 20:
            supervisor.look()
            time.sleep(0.01)

    with pytest.raises(StartError, match=r"exit code 3.*3 times within 600 s"):
        look_until_the_end()
    assert len(child.restarts) == 3
    waits = [text.split(" in ")[1].split(" s")[0] for text in said if "starts again in" in text]
    assert waits == ["0.1", "0.2", "0.3"]
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.3


def test_old_restarts_do_not_count(make_child: Maker) -> None:
    child = make_child("--end-after-s", "0")
    child.restarts.extend([time.monotonic() - 700] * 3)
    supervisor = Supervisor([child], lambda _: None, most_restarts=3, first_wait_s=0.0)
    child.start()
    wait_until(supervisor.look)
    assert len(child.restarts) == 1


def test_a_child_that_was_never_started_is_not_restarted(make_child: Maker) -> None:
    assert not Supervisor([make_child()], lambda _: None).look()


def test_all_children_end_and_the_stubborn_one_is_forced(make_child: Maker) -> None:
    children = [make_child(name="kind"), make_child("--ignore-term", name="stubborn")]
    for child in children:
        child.start()
    for child in children:
        child.wait_ready(10, never)
    stop_all(children, limit_s=0.5)
    codes = [child.process.returncode for child in children if child.process]
    assert codes == [-signal.SIGTERM, -signal.SIGKILL]


def test_what_a_child_has_started_ends_with_it(make_child: Maker, tmp_path: Path) -> None:
    child = make_child()
    note = tmp_path / "grandchild"
    child.command = ["sh", "-c", f"sleep 60 & echo $! > {note}; trap 'exit 0' TERM; wait"]
    child.start()
    wait_until(lambda: note.exists() and note.read_text().strip() != "")
    stop_all([child], limit_s=5)
    wait_until(lambda: is_gone(int(note.read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal of the parent is Linux's")
def test_a_child_does_not_survive_the_kill_of_its_parent(make_child: Maker, tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from local.processes import Child\n"
        "child = Child('piece', ['sleep', '60'], dict(os.environ), '', Path(sys.argv[1]))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "piece.log")]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: is_gone(pid))
