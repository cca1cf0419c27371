"""A real PostgreSQL for tests: initdb and pg_ctl as an unprivileged user, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A running server. ``url`` is a SQLAlchemy URL of its first database."""

    directory: Path
    port: int
    options: str

    @property
    def pid(self) -> int:
        """The process that owns all others."""
        return int((self.directory / "postmaster.pid").read_text().split()[0])

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, name: str) -> str:
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it, also after it was killed, and wait until it answers."""
        log = str(self.directory.parent / "server.log")
        command = [str(_bin() / "pg_ctl"), "-D", str(self.directory), "-o", self.options, "-l", log]
        _run([*command, "-w", "start"], self.directory)

    def stop(self) -> None:
        _run([str(_bin() / "pg_ctl"), "-D", str(self.directory), "-m", "immediate", "stop"], self.directory)


def _run(command: list[str], directory: Path) -> None:
    """Run as the postgres user where this process is root, which the server refuses."""
    extra: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        extra = {"user": account.pw_uid, "group": account.pw_gid}
    with (directory.parent / "pg_command.log").open("ab") as log:
        subprocess.run(
            command, check=True, stdout=log, stderr=subprocess.STDOUT, cwd="/", timeout=60, **extra
        )


def start_postgres(directory: Path) -> Postgres:
    """Make a cluster in ``directory`` (created) and start it. Raises ``PostgresMissingError``."""
    binaries = _bin()
    directory.mkdir(parents=True)
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        os.chown(directory, account.pw_uid, account.pw_gid)
        for parent in [directory, *directory.parents]:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    data, port = directory / "data", free_port()
    _run([str(binaries / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-N"], directory)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c fsync=off"
    server = Postgres(data, port, options)
    server.start()
    return server
