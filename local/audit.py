"""``make audit``: known vulnerabilities of all locked packages, where a database of them can be reached.

``--strict`` also fails where none can be: for a pipeline. ``local/audit_allowed.toml`` lists findings that
are borne for a while, each with its reason and the day on which it counts again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.options import ROOT

ALLOWED = ROOT / "local/audit_allowed.toml"
_LIMIT_S = 300.0
_SKIPPED = "skipped: the database of vulnerabilities can't be reached from here"


class NoDatabaseError(Exception):
    """The database of vulnerabilities could not be reached."""


def python_findings(report: dict[str, Any]) -> list[str]:
    """One line for each finding of pip-audit. Raises ``NoDatabaseError`` if it knew no package."""
    packages = report.get("dependencies", [])
    if packages and all("skip_reason" in package for package in packages):
        raise NoDatabaseError
    return [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found.get('fix_versions', [])) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", [])
    ]


def node_findings(report: dict[str, Any]) -> list[str]:
    """One line for each finding of npm audit. Raises ``NoDatabaseError`` without a response."""
    if "vulnerabilities" not in report:
        raise NoDatabaseError
    return [
        f"{name}: {found.get('severity')} {' '.join(_advisories(found))}".rstrip()
        for name, found in report["vulnerabilities"].items()
    ]


def _advisories(found: dict[str, Any]) -> list[str]:
    """The ids of what is wrong with an npm package itself; a string names a dependency that is to blame."""
    urls = [cause.get("url", "") for cause in found.get("via", []) if isinstance(cause, dict)]
    return [url.rpartition("/")[2] for url in urls]


def allowed(text: str, today: datetime.date) -> set[str]:
    """The ids of the findings that are borne today. Raises ``ValueError`` where an entry says too little."""
    ids = set()
    for entry in tomllib.loads(text).get("allowed", []):
        name, until, reason = entry.get("id"), entry.get("until"), entry.get("reason")
        if not (name and reason and isinstance(until, datetime.date)):
            raise ValueError(f"{ALLOWED.name}: an entry needs id, until (a date) and reason: {entry}")
        if today < until:
            ids.add(str(name))
    return ids


def not_allowed(lines: list[str], ids: set[str]) -> list[str]:
    """The findings that name none of these ids."""
    return [line for line in lines if not ids & set(re.findall(r"[\w-]+", line))]


def python_locks(root: Path) -> list[Path]:
    """Every lock of Python packages, at most two levels below ``root``."""
    found = (path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}requirements*.in"))
    locks = (path.with_suffix(".txt") for path in found if ".venv" not in path.parts)
    return sorted(path for path in locks if path.is_file())


def audit_python(requirements: Path) -> list[str]:
    """Ask pip-audit about one file of pins."""
    command = [str(Path(sys.executable).with_name("pip-audit")), "--requirement", str(requirements)]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    return python_findings(_ask(command, ROOT))


def node_folders(root: Path) -> list[Path]:
    """Folders of the project with an npm lock file, at most two levels below ``root``."""
    found = (*root.glob("*/package-lock.json"), *root.glob("*/*/package-lock.json"))
    return sorted(file.parent for file in found if "node_modules" not in file.parts)


def audit_node(folder: Path) -> list[str]:
    """Ask npm about one lock file."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoDatabaseError
    return node_findings(_ask([npm, "audit", "--omit=dev", "--json"], folder))


def _ask(command: list[str], folder: Path) -> dict[str, Any]:
    """Returns the JSON that a tool prints; both tools exit with an error if they find something."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        report = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise NoDatabaseError from error
    if not isinstance(report, dict):
        raise NoDatabaseError
    return report


def main(arguments: list[str]) -> int:
    """Audit everything. Returns 1 if a package is known to be vulnerable or, if strict, was not looked up."""
    parser = argparse.ArgumentParser(prog="python -m local.audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail too where no database can be reached")
    given = parser.parse_args(arguments)
    borne = allowed(ALLOWED.read_text(), datetime.datetime.now(datetime.UTC).date())
    audits: list[tuple[Path, Callable[[Path], list[str]]]] = [
        (lock, audit_python) for lock in python_locks(ROOT)
    ]
    audits += [(folder, audit_node) for folder in node_folders(ROOT)]
    failed = False
    for path, audit in audits:
        name = path.relative_to(ROOT).as_posix()
        try:
            known = audit(path)
        except NoDatabaseError:
            failed = failed or given.strict
            sys.stdout.write(f"{name}: {_SKIPPED}\n")
            continue
        found = not_allowed(known, borne)
        failed = failed or bool(found)
        rest = f", {len(known) - len(found)} more borne for now" if len(known) > len(found) else ""
        sys.stdout.write(f"{name}: {len(found)} known vulnerabilities{rest}\n")
        sys.stdout.writelines(f"    {line}\n" for line in found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
