"""What the audit makes of the reports of pip-audit and npm."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from local import audit
from local.audit import (
    NoDatabaseError,
    allowed,
    main,
    node_findings,
    node_folders,
    python_findings,
    python_locks,
)

CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "x", "skip_reason": "Dependency not found"}


def test_a_vulnerable_package_is_named_with_its_fix() -> None:
    assert python_findings({"dependencies": [CLEAN, UNKNOWN, BAD]}) == ["pillow 1.0: PYSEC-1, fixed in 1.1"]
    assert python_findings({"dependencies": [CLEAN]}) == []
    cause = {"url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc"}
    report = {"left-pad": {"severity": "high", "via": [cause, "pad"]}, "pad": {"severity": "low"}}
    assert node_findings({"vulnerabilities": report}) == ["left-pad: high GHSA-aaaa-bbbb-cccc", "pad: low"]
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


def test_every_lock_of_python_packages_is_audited(tmp_path: Path) -> None:
    for name in ("requirements", "gpu/requirements-cuda", "a/b/requirements", ".venv/lib/requirements"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.in").touch()
        (tmp_path / f"{name}.txt").touch()
    (tmp_path / "gpu/requirements-torch.in").touch()
    names = [path.relative_to(tmp_path).as_posix() for path in python_locks(tmp_path)]
    assert names == ["a/b/requirements.txt", "gpu/requirements-cuda.txt", "requirements.txt"]


ALLOWED = """
[[allowed]]
id = "PYSEC-1"
until = 2026-12-01
reason = "We decode no such file; fixed in the next release."
"""


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A project of one lock, in which pip-audit finds PYSEC-1, and its list of borne findings."""
    (tmp_path / "requirements.in").touch()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "allowed.toml").write_text(ALLOWED)
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "ALLOWED", tmp_path / "allowed.toml")
    monkeypatch.setattr(audit, "audit_python", lambda _: python_findings({"dependencies": [BAD]}))
    return monkeypatch


def test_a_finding_is_borne_until_its_day_and_then_counts_again(
    audited: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert allowed(ALLOWED, datetime.date(2026, 11, 30)) == {"PYSEC-1"}
    assert allowed(ALLOWED, datetime.date(2026, 12, 1)) == set()
    for until, code in (("2999-01-01", 0), ("2020-01-01", 1)):
        (tmp_path / "allowed.toml").write_text(ALLOWED.replace("2026-12-01", until))
        assert main([]) == code
    told = capsys.readouterr().out
    assert "0 known vulnerabilities, 1 more borne" in told and "pillow 1.0: PYSEC-1, fixed in 1.1" in told
    # an id that another one only begins with is not meant
    (tmp_path / "allowed.toml").write_text(
        ALLOWED.replace("PYSEC-1", "PYSEC").replace("2026-12-01", "2999-01-01")
    )
    assert main([]) == 1


@pytest.mark.parametrize("line", ['id = "PYSEC-1"', "until = 2026-12-01", 'reason = "We decode'])
def test_an_entry_without_a_day_or_a_reason_is_refused(line: str) -> None:
    text = "\n".join(each for each in ALLOWED.splitlines() if not each.startswith(line))
    with pytest.raises(ValueError, match="an entry needs id, until"):
        allowed(text, datetime.date(2026, 1, 1))


def test_the_list_of_the_project_can_be_read() -> None:
    allowed(audit.ALLOWED.read_text(), datetime.date(2026, 1, 1))


def test_only_a_pipeline_fails_where_no_database_can_be_reached(audited: pytest.MonkeyPatch) -> None:
    def unreachable(_: Path) -> list[str]:
        raise NoDatabaseError

    audited.setattr(audit, "audit_python", unreachable)
    assert (main([]), main(["--strict"])) == (0, 1)
