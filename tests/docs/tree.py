"""The files of the project, as git lists them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files() -> tuple[str, ...]:
    """Paths relative to the root, with what is new and not ignored, without what was deleted."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(path for path in sorted(set(listed.splitlines())) if (ROOT / path).is_file())


def markdown() -> list[str]:
    """Every Markdown file."""
    return [path for path in files() if path.endswith(".md")]
