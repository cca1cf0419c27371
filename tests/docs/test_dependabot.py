"""Dependabot watches every file that names a version of somebody else's software."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath

import yaml

from tests.docs.tree import ROOT, files

_FILES = {
    "uv": r"requirements[^/]*\.(txt|in)",
    "pip": r"pyproject\.toml",
    "npm": r"package-lock\.json",
    "docker": r"Dockerfile",
    "docker-compose": r"compose\.ya?ml",
}


def test_every_file_that_names_versions_is_watched_and_no_other_folder() -> None:
    assert _watched() == _folders() | {("github-actions", "/")}


def test_the_workflows_are_where_dependabot_looks_for_them() -> None:
    assert any(path.startswith(".github/workflows/") for path in files())


def _watched() -> set[tuple[str, str]]:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    return {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }


def _folders() -> set[tuple[str, str]]:
    return {
        (ecosystem, "/" + str(PurePosixPath(path).parent).removeprefix("."))
        for path in files()
        for ecosystem, name in _FILES.items()
        if re.fullmatch(name, PurePosixPath(path).name) and _names_versions(path)
    }


def _names_versions(path: str) -> bool:
    """A pyproject.toml may hold the settings of tools alone."""
    if not path.endswith("pyproject.toml"):
        return True
    project = tomllib.loads((ROOT / path).read_text())
    return bool(project.get("project", {}).get("dependencies"))
