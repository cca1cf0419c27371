"""What is written about settings and requirements is true."""

from __future__ import annotations

import re
from pathlib import Path

from infra.settings_page import PAGE, page
from tests.docs.tree import files

ROOT = Path(__file__).parent.parent


def test_the_page_of_settings_is_what_the_code_reads() -> None:
    assert PAGE.read_text() == page(), "run: python -m infra.settings_page"


def test_a_person_may_set_sixty_variables_at_most() -> None:
    names = re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE)
    assert len(names) == len(set(names)) <= 60


def test_every_requirement_is_pinned_and_says_why() -> None:
    sources = [path for path in files() if re.search(r"(^|/)requirements[^/]*\.in$", path)]
    assert "requirements.in" in sources
    for path in (ROOT / name for name in sources):
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith(("#", "-c ", "-r ")):
                requirement, _, reason = line.partition("#")
                assert "==" in requirement, f"{path.name}: {line}"
                assert reason.strip(), f"{path.name}: {line}"
