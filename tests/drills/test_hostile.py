"""Hostile and odd inputs get the right verdict; ``make drill NAME=hostile`` has all, and measures them."""

from __future__ import annotations

import pytest

from drills.hostile.__main__ import is_right
from drills.hostile.inputs import ADMITTED, REJECTED, Input, inputs, truncated
from imagery.contracts import JobOptions
from imagery.guardrail.examine import Guardrail
from tests.imagery.guardrail.conftest import guardrail

__all__ = ["guardrail"]
pytestmark = pytest.mark.drill
# they take the longest, and the drill has them
_HEAVY = ("truncated", "JPEG of 3 MP with 20 MB", "largest:", "8192x1525")
LISTED = [each for each in inputs() if not each.name.startswith(_HEAVY)]


def verdict(guardrail: Guardrail, each: Input) -> tuple[str, str]:
    options = JobOptions() if each.prompt is None else JobOptions(prompt=each.prompt)
    report = guardrail.examine(each.make(), each.declared, options).report
    return (ADMITTED, "") if report.admitted else (REJECTED, report.code or "")


@pytest.mark.parametrize("each", LISTED, ids=lambda each: each.name)
def test_a_hostile_input_has_its_verdict(guardrail: Guardrail, each: Input) -> None:
    found = verdict(guardrail, each)
    assert is_right(each, *found), found


def test_a_file_that_was_cut_anywhere_is_rejected(guardrail: Guardrail) -> None:
    wrong = [
        (each.name, found) for each in truncated() if not is_right(each, *(found := verdict(guardrail, each)))
    ]
    assert wrong == []


def test_there_are_at_least_sixty() -> None:
    assert len(LISTED) >= 60
    assert len({each.name for each in LISTED}) == len(LISTED)
