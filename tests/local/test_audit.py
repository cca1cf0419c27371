"""What the audit makes of the reports of pip-audit and npm."""

from __future__ import annotations

import pytest

from local.audit import NoDatabaseError, node_findings, python_findings

CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "x", "skip_reason": "Dependency not found"}


def test_a_vulnerable_package_is_named_with_its_mend() -> None:
    assert python_findings({"dependencies": [CLEAN, UNKNOWN, BAD]}) == ["pillow 1.0: PYSEC-1, mended in 1.1"]
    assert python_findings({"dependencies": [CLEAN]}) == []
    assert node_findings({"vulnerabilities": {"left-pad": {"severity": "high"}}}) == ["left-pad: high"]
    assert node_findings({"vulnerabilities": {}}) == []


def test_a_database_that_was_not_reached_is_no_clean_bill() -> None:
    with pytest.raises(NoDatabaseError):
        python_findings({"dependencies": [UNKNOWN, UNKNOWN]})
    with pytest.raises(NoDatabaseError):
        node_findings({"error": "no answer"})
