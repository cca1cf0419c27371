"""The project's version stands in ``imagery/__init__.py``, and the changelog knows it."""

from __future__ import annotations

import json
import re
import tomllib

from imagery import __version__
from imagery_client import __version__ as client_version
from tests.docs.tree import ROOT


def test_the_newest_release_of_the_changelog_is_the_version_of_the_code() -> None:
    releases = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == __version__


def test_no_other_file_names_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project.get("version"), project["dynamic"]) == (None, ["version"])
    for name in ("package.json", "package-lock.json"):
        assert "version" not in json.loads((ROOT / "frontend" / name).read_text())


def test_the_client_that_is_released_with_it_has_the_same_version() -> None:
    assert client_version == __version__
