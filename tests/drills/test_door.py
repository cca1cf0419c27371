"""``make drill``: one door to all drills."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from drills.__main__ import DRILLS
from testbed.stack import ROOT

# one process for all: what the drills import takes longer than their help
_HELP_OF_EACH = """
import importlib, pathlib, sys
from drills.__main__ import DRILLS
for name, drill in DRILLS.items():
    path = pathlib.Path(*drill.module.split("."))
    module = importlib.import_module(f"{drill.module}.__main__" if path.is_dir() else drill.module)
    try:
        module.main([*drill.arguments, "--help"])
    except SystemExit as end:
        assert end.code == 0, name
    else:
        raise AssertionError(f"{name} did not print its help")
"""


def door(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m drills``."""
    command = [sys.executable, "-m", "drills", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_make_drill_alone_lists_every_drill_and_needs_no_setup() -> None:
    command = ["make", f"PYTHON={sys.executable} -S", "drill"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^  ([a-z-]+) +\S", done.stdout, re.MULTILINE) == list(DRILLS)


def test_an_unknown_drill_is_an_error_with_the_list() -> None:
    done = door("paint")
    assert done.returncode == 2
    assert "'paint'" in done.stderr
    assert all(name in done.stderr for name in DRILLS)


@pytest.mark.drill
def test_the_door_passes_options_on_and_takes_a_name_with_underscores() -> None:
    done = door("gpu_bench", "--help")
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout


@pytest.mark.drill
def test_each_drill_explains_its_options() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HELP_OF_EACH], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("usage: ") == len(DRILLS)


@pytest.mark.parametrize(
    "page", sorted(str(each.relative_to(ROOT)) for each in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
)
def test_the_drills_that_the_documentation_names_exist(page: str) -> None:
    named = re.findall(r"NAME=([\w-]+)", (ROOT / page).read_text())
    assert {each.replace("_", "-") for each in named} - {"NAME"} <= set(DRILLS)
