"""Compares the virtual environment with what the requirements pin. Standard library only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

_REQUIREMENTS = (
    "requirements.txt",
    "requirements-local.txt",
    "gpu_container/requirements.txt",
    "gpu_container/requirements-sources.txt",
    "gpu_container/requirements-torch.in",
)
_IMPORTS = (
    "azure.functions",
    "azure.durable_functions",
    "fastapi",
    "httpx",
    "rich",
    "sqlmodel",
    "durabletask",
    "onnxruntime",
    "torch",
)
_LIMIT_S = 60

# run by the virtual environment's Python; argv[1] is JSON: the pins, and the names of imports
_ASK = """
import importlib.metadata as m, importlib.util as u, json, sys
from pip._vendor.packaging.markers import Marker
wanted = json.loads(sys.argv[1])
def version(name):
    try: return m.version(name).split("+")[0]
    except m.PackageNotFoundError: return None
def missing(name):
    try: return u.find_spec(name) is None
    except ImportError: return True
print(json.dumps({
    "python": sys.version_info[:2],
    "versions": {
        name: [version(name), pin] for name, pin, marker in wanted["pins"]
        if not marker or Marker(marker).evaluate()
    },
    "missing": [name for name in wanted["imports"] if missing(name)],
}))
"""


class DoesNotRunError(Exception):
    """The virtual environment's Python does not run."""


def pinned(root: Path) -> list[tuple[str, str, str]]:
    """Name, version and marker of each package in the files that ``make setup`` installs from."""
    pins = []
    for file in _REQUIREMENTS:
        for line in (root / file).read_text().splitlines():
            name, equals, rest = line.split("#")[0].rstrip(" \\").partition("==")
            if equals:
                version, _, marker = rest.partition(";")
                pins.append((name.split("[")[0].strip(), version.strip(), marker.strip()))
    return pins


def installed(
    python: Path, pins: list[tuple[str, str, str]], environment: dict[str, str]
) -> tuple[tuple[int, int], list[str]]:
    """Returns the Python version and one line for each wrong package. Raises ``DoesNotRunError``."""
    question = json.dumps({"pins": pins, "imports": _IMPORTS})
    done = subprocess.run(
        [str(python), "-c", _ASK, question],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
        env=environment,
    )
    if done.returncode != 0:
        raise DoesNotRunError(done.stderr.strip()[-200:])
    report = json.loads(done.stdout)
    wrong = [
        f"{name} is {found or 'missing'}, not {pin}"
        for name, (found, pin) in report["versions"].items()
        if found != pin
    ]
    wrong += [f"{name} can't be imported" for name in report["missing"]]
    return (report["python"][0], report["python"][1]), wrong
