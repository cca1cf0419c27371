"""Children that outlived a killed stack: known by pid and start time, so that no other process is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

_FIELDS_BEFORE_START = 19
_LOOK_EVERY_S = 0.05
_PS_LIMIT_S = 10


def start_mark(pid: int) -> str | None:
    """When the process started, as its system writes it; None if the process does not exist.

    Pids are reused; a pid together with its start time is not.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError):
            # the command's name is in brackets and may contain anything, so count from behind it
            fields = stat.read_text().rpartition(")")[2].split()
            return None if fields[0] == "Z" else fields[_FIELDS_BEFORE_START]
        return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PS_LIMIT_S)
    return done.stdout.strip() or None


def end_orphans(state: dict[str, Any], limit_s: float) -> list[str]:
    """End the processes that a stale ``state`` names and that still run. Returns their names."""
    found = {name: each for name, each in _recorded(state).items() if start_mark(each[0]) == each[1]}
    _signal(found, signal.SIGTERM)
    until = time.monotonic() + limit_s
    while _alive(found) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
    _signal(_alive(found), signal.SIGKILL)
    return list(found)


def _recorded(state: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Pid and start mark by name; anything of another shape is skipped."""
    processes = state.get("processes")
    recorded = {}
    for name, process in processes.items() if isinstance(processes, dict) else ():
        match process:
            case {"pid": int(pid), "started": str(mark)} if pid > 1:
                recorded[name] = (pid, mark)
    return recorded


def _alive(processes: dict[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    return {name: (pid, mark) for name, (pid, mark) in processes.items() if start_mark(pid) == mark}


def _signal(processes: dict[str, tuple[int, str]], number: int) -> None:
    for pid, _ in processes.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # every child leads a session of its own
            os.killpg(pid, number)
