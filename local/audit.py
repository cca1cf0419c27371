"""``make audit``: known vulnerabilities of the pinned packages, where a database of them can be reached."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.options import ROOT

_REQUIREMENTS = ("requirements.txt", "requirements-local.txt", "gpu_container/requirements.txt")
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
    return [f"{name}: {found.get('severity')}" for name, found in report["vulnerabilities"].items()]


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


def main() -> int:
    """Audit everything. Returns 1 if a package is known to be vulnerable."""
    audits: list[tuple[str, Callable[[], list[str]]]] = []
    for name in _REQUIREMENTS:
        audits.append((name, lambda name=name: audit_python(ROOT / name)))  # type: ignore[misc]
    for folder in node_folders(ROOT):
        name = folder.relative_to(ROOT).as_posix()
        audits.append((name, lambda folder=folder: audit_node(folder)))  # type: ignore[misc]
    found_any = False
    for name, audit in audits:
        try:
            found = audit()
        except NoDatabaseError:
            sys.stdout.write(f"{name}: {_SKIPPED}\n")
            continue
        found_any = found_any or bool(found)
        sys.stdout.write(f"{name}: {len(found)} known vulnerabilities\n")
        sys.stdout.writelines(f"    {line}\n" for line in found)
    return int(found_any)


if __name__ == "__main__":
    sys.exit(main())
