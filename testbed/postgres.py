"""A real PostgreSQL for tests: a process of an unprivileged user, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from testbed.ports import free_port
from testbed.supervised import keep, release

_USER = "postgres"


class PostgresMissingError(Exception):
    """No PostgreSQL server is installed."""


def _bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise PostgresMissingError("initdb is not installed (Debian: apt-get install postgresql)")
    return Path(on_path).parent


def is_installed() -> bool:
    """True when a server can be started here."""
    try:
        _bin()
    except PostgresMissingError:
        return False
    return True


@dataclass(eq=False)
class Postgres:
    """A running server. ``url`` is a SQLAlchemy URL of its first database."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    start_limit_s: float = 60.0

    name = "PostgreSQL"
    mark = "postgres"

    @property
    def log(self) -> Path:
        return self.directory.parent / "server.log"

    @property
    def pid(self) -> int:
        """The process that owns all others."""
        assert self.process is not None
        return self.process.pid

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, name: str) -> str:
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{name}"

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, also after it was killed, and wait until it responds. Raises ``RuntimeError``."""
        keep(self)
        until = time.monotonic() + self.start_limit_s
        while time.monotonic() < until:
            # its children outlive a killed server for a moment, and keep the next one from starting
            if not self.is_alive():
                self._launch()
            if self._responds():
                return
            time.sleep(0.1)
        end_of_log = self.log.read_text()[-2000:]
        self.stop()
        raise RuntimeError(f"PostgreSQL did not start:\n{end_of_log}")

    revive = start

    def _launch(self) -> None:
        command = [str(_bin() / "postgres"), "-D", str(self.directory), "-p", str(self.port)]
        for setting in (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.directory.parent}",
            "fsync=off",
        ):
            command += ["-c", setting]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", start_new_session=True, **_account()
            )

    def _responds(self) -> bool:
        try:
            with psycopg.connect(
                host="127.0.0.1", port=self.port, user=_USER, dbname="postgres", connect_timeout=5
            ):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """End it at once, as if the machine had lost its power."""
        release(self)
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """End it for good, and remove its data."""
        self.stop()
        shutil.rmtree(self.directory.parent, ignore_errors=True)


def _account() -> dict[str, Any]:
    """The postgres user where this process is root, which the server refuses."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(_USER)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def start_postgres() -> Postgres:
    """Make a cluster in a folder of its own, which ``close`` removes, and start it.

    Raises ``PostgresMissingError``. The folder is none of pytest's: each session takes from all folders of
    pytest what other users may do there, and the server, which is another user, would die.
    """
    binaries = _bin()
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    account = _account()
    if account:
        os.chown(directory, account["user"], account["group"])
    data = directory / "data"
    command = [str(binaries / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-N"]
    with (directory / "initdb.log").open("ab") as log:
        subprocess.run(
            command, check=True, stdout=log, stderr=subprocess.STDOUT, cwd="/", timeout=120, **account
        )
    server = Postgres(data, free_port())
    server.start()
    return server
