"""The command line as its users start it: a process of its own against a running stack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testbed.stack import ROOT, Stack

_LIMIT_S = 150.0


@dataclass
class Cli:
    """Runs ``imagery`` with these variables and no others of its own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMAGERY_")}
        defaults = {"PYTHONPATH": str(ROOT / "client"), "PYTHONUNBUFFERED": "1", "COLUMNS": "160"}
        return inherited | defaults | self.variables | variables

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "imagery_client", *map(str, arguments)]

    def run(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # what runs in the background inherits that Ctrl-C is ignored
            ["env", "--default-signal=INT", *self.command(*arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def stack(dev_stack: Stack) -> Iterator[Stack]:
    """All pieces, with files and SQLite."""
    yield dev_stack
    dev_stack.put_back()


@pytest.fixture
def cli(stack: Stack, tmp_path: Path) -> Cli:
    """The command line in an empty folder, with the stack's address and key in variables."""
    key = stack.client.headers["X-API-Key"]
    return Cli(tmp_path, {"IMAGERY_URL": str(stack.client.base_url), "IMAGERY_API_KEY": key})


@pytest.fixture
def lonely(tmp_path: Path) -> Cli:
    """The command line in an empty folder, without variables."""
    return Cli(tmp_path)
