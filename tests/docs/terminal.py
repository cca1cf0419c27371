"""A copy of the checkout with a network of its own, and terminals in it, as a reader has them.

The network is a Linux namespace: the ports that the documentation names are free in it, whatever else runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import IO

from tests.docs.tree import ROOT, files

_BUILT = (
    ".venv",
    "frontend/node_modules",
    "frontend/dist",
    "local/azurite/node_modules",
)
# the ioctl is SIOCSIFFLAGS, the flags are IFF_UP and IFF_RUNNING
_LOOPBACK_UP = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
print("up", flush=True)
sys.stdin.read()
"""
# what a developer or make may have set, by the first letters of its name
_CHOSEN = (
    "API_KEY",
    "AZURE",
    "AZURITE_",
    "AzureWebJobs",
    "DATABASE_URL",
    "ENV",
    "GPU_",
    "HOST",
    "IMAGE",
    "MAKE",
    "MFLAGS",
    "NANO_BANANA_",
    "NO_SAMPLE",
    "ONCE",
    "PORT",
    "PYTEST",
    "STORAGE",
)


class Network:
    """A network namespace that lives as long as this object is open."""

    def __init__(self) -> None:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._holder = subprocess.Popen(
            ["unshare", *user, "--net", sys.executable, "-c", _LOOPBACK_UP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "up\n", "the kernel allows no network namespace"
        inside = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.prefix = ["nsenter", "--target", str(self._holder.pid), *inside, "--net"]

    def close(self) -> None:
        """End the namespace once its last process has ended."""
        assert self._holder.stdin
        self._holder.stdin.close()
        self._holder.wait(10)


class Checkout:
    """The files of the checkout under test, with what ``make setup`` has built, in a folder of its own."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = folder
        self._network = network
        for path in files():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # with their times, by which make decides what is due
            shutil.copy2(ROOT / path, target)
        # some tests and commands ask git which files there are
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
        for path in _BUILT:
            (folder / path).symlink_to((ROOT / path).resolve())
        self._bin = folder / ".run" / "bin"
        self._bin.mkdir(parents=True)
        self._install_client()

    def start(self, script: str, output: IO[str]) -> subprocess.Popen[str]:
        """Run a script in a terminal of its own, and go on."""
        return subprocess.Popen(
            [*self._network.prefix, "bash", "-c", script],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, limit_s: float) -> tuple[int, str]:
        """Run a script to its end: exit code, and what it printed."""
        with (self.folder / ".run" / "terminal.txt").open("w+") as output:
            process = self.start(script, output)
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                interrupt(process, signal.SIGKILL)
                code = -1
            output.seek(0)
            return code, output.read()

    def _environment(self) -> dict[str, str]:
        """A fresh shell: nothing that a developer has chosen for another stack."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_CHOSEN)}
        return kept | {"PATH": f"{self._bin}:{kept['PATH']}"}

    def _install_client(self) -> None:
        """What ``pipx install ./client`` leaves on the PATH; pipx itself would need a package index."""
        project = tomllib.loads((self.folder / "client/pyproject.toml").read_text())["project"]
        for name, entry in project["scripts"].items():
            module, function = entry.split(":")
            call = f"import sys; from {module} import {function}; sys.exit({function}())"
            program = self._bin / name
            start = f'PYTHONPATH={self.folder}/client exec {self.folder}/.venv/bin/python -c "{call}" "$@"'
            program.write_text(f"#!/bin/sh\n{start}\n")
            program.chmod(0o755)


def wait_for(text: str, log: Path, process: subprocess.Popen[str], limit_s: float) -> None:
    """Until the log contains the text; an error when the process ends before."""
    until = time.monotonic() + limit_s
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """What Ctrl-C does: the signal goes to all processes of the terminal."""
    os.killpg(process.pid, number)
