"""What the audit makes of the reports of pip-audit and npm."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.audit import NoDatabaseError, node_findings, node_folders, python_findings

CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "x", "skip_reason": "Dependency not found"}


def test_a_vulnerable_package_is_named_with_its_fix() -> None:
    assert python_findings({"dependencies": [CLEAN, UNKNOWN, BAD]}) == ["pillow 1.0: PYSEC-1, fixed in 1.1"]
    assert python_findings({"dependencies": [CLEAN]}) == []
    assert node_findings({"vulnerabilities": {"left-pad": {"severity": "high"}}}) == ["left-pad: high"]
    assert node_findings({"vulnerabilities": {}}) == []


def test_every_lock_file_of_the_project_is_audited(tmp_path: Path) -> None:
    for name in ("frontend", "local/azurite", "frontend/node_modules/a", "node_modules/b"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "package-lock.json").write_text("{}")
    assert node_folders(tmp_path) == [tmp_path / "frontend", tmp_path / "local/azurite"]


def test_a_database_that_was_not_reached_is_no_clean_bill() -> None:
    with pytest.raises(NoDatabaseError):
        python_findings({"dependencies": [UNKNOWN, UNKNOWN]})
    with pytest.raises(NoDatabaseError):
        node_findings({"error": "no answer"})
