"""A short run of schemathesis with all its checks; ``make drill NAME=contract`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills.contract import CONFIG, environment, run
from testbed.stack import Stack

pytestmark = pytest.mark.stack


def test_every_route_answers_as_its_description_says(tmp_path: Path) -> None:
    stack = Stack(tmp_path, environment(tmp_path))
    try:
        stack.start_host()
        assert run(stack, CONFIG, "--max-examples", "5", "--seed", "1", "--no-color") == 0
    finally:
        stack.stop()
