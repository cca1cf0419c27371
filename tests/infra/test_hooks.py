"""The hooks that azd runs, with stand-ins for the programs they call."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from testbed.stack import ROOT


@pytest.mark.parametrize(("failures", "returncode", "calls"), [(0, 0, 1), (3, 0, 4), (99, 1, 10)])
def test_what_is_not_ready_is_repeated_ten_times_and_then_fails(
    tmp_path: Path, failures: int, returncode: int, calls: int
) -> None:
    log = tmp_path / "calls"
    program = f'#!/bin/sh\necho >> "{log}"\n[ "$(wc -l < "{log}")" -gt {failures} ]\n'
    for name, text in {"az": program, "sleep": f'#!/bin/sh\necho "$1" >> "{tmp_path}/slept"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = ["sh", "-euc", ". infra/hooks/again.sh; again az"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=False)
    assert done.returncode == returncode
    assert len(log.read_text().splitlines()) == calls
    slept = (tmp_path / "slept").read_text().split() if calls > 1 else []
    assert slept == ["15"] * (calls - 1)
