"""``.run``: the lock of the running stack and ``state.json``, which shows tools where everything is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from local.orphans import end_orphans

_END_LIMIT_S = 10.0


class AlreadyRunningError(Exception):
    """A stack is running in this folder."""


class NotPrivateError(Exception):
    """The folder belongs to others too, and can't be taken from them."""


def make_private(path: Path) -> None:
    """Make a folder for its owner alone, or close one that is there. Raises ``NotPrivateError``."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    # /tmp and folders of other people are theirs: closing them would break more than the stack
    if mode & stat.S_ISVTX or found.st_uid != os.geteuid():
        raise NotPrivateError(
            f"{path} holds keys and photos, and is shared with other users: choose another folder"
        )
    if mode & 0o077:
        path.chmod(mode & 0o700)


class RunFolder:
    """The folder of one stack, for its owner's eyes; entering takes its lock, leaving removes the state.

    ``orphans``: names of children that a killed stack left running and that entering ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.orphans: list[str] = []
        self._lock: IO[str] | None = None

    @property
    def state_file(self) -> Path:
        """The file of the state."""
        return self.path / "state.json"

    @property
    def is_locked(self) -> bool:
        """True while a stack runs in this folder."""
        with contextlib.suppress(FileNotFoundError), (self.path / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def __enter__(self) -> RunFolder:
        make_private(self.path)
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            pid = self.read().get("pids", {}).get("stack", "unknown")
            raise AlreadyRunningError(
                f"a stack is already running in this folder (pid {pid}): stop it with Ctrl-C or kill {pid}"
            ) from None
        self._lock = lock
        # a state that is still there was left by a stack that could not clean up
        self.orphans = end_orphans(self.read(), _END_LIMIT_S)
        self.state_file.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.state_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state, readable by its owner alone: it holds keys."""
        temporary = self.state_file.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(state, indent=2) + "\n")
        temporary.replace(self.state_file)

    def read(self) -> dict[str, Any]:
        """Returns the state, empty if there is none."""
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self.state_file.read_text())
            if isinstance(state, dict):
                return state
        return {}
