"""``make users`` finds the database of the stack that runs here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local.options import ROOT
from local.state import RunFolder
from local.users import database_variables

STATE = {"database_url": "sqlite:////of-the-stack.db", "webhook_signing_key": "of the stack"}


def test_the_running_stack_names_the_database_whatever_the_environment_says(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.write(STATE)
        found = database_variables(RunFolder(tmp_path), {"DATABASE_URL": "sqlite:////other.db"})
    assert found == {"DATABASE_URL": "sqlite:////of-the-stack.db", "WEBHOOK_SIGNING_KEY": "of the stack"}


def test_what_a_killed_stack_left_is_no_running_stack(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.write(STATE)
        left = folder.state_file.read_text()
    folder.state_file.write_text(left)
    assert database_variables(RunFolder(tmp_path), {}) is None
    assert database_variables(RunFolder(tmp_path), {"DATABASE_URL": "sqlite:////other.db"}) == {}


def test_without_a_stack_and_a_database_the_command_says_so_and_ends_with_2(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "local.users", "list"],
        check=False,
        cwd=ROOT,
        env=inherited | {"IMAGERY_RUN_DIR": str(tmp_path / "nothing")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "make run" in done.stderr
    assert "DATABASE_URL" in done.stderr
