"""``make drill NAME=package``: the app from nothing but its package, in a venv of its requirements alone.

With ``--core`` the core of the tests runs in that venv too: that is how Python 3.13 is held. The last line is
JSON: the Python, the sizes, the functions and what the pages answer.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.locks import excerpt
from infra.package import ROOT, build

_TEST_PACKAGES = {
    "imagehash",
    "scipy",
    "google-genai",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "jsonschema",
    "pyyaml",
    "psutil",
}
_CORE = ("tests/orchestrators", "tests/lifecycle", "tests/devhost", "tests/activities", "tests/imagery")
_LIMIT_S = 900


def wanted_python(name: str) -> str | None:
    """The interpreter's path: on PATH, or pyenv's. Returns None where there is none."""
    found = shutil.which(name)
    if found and subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0:
        return found
    version = name.removeprefix("python")
    installed = sorted((Path.home() / ".pyenv/versions").glob(f"{version}*/bin/python"))
    return str(installed[-1]) if installed else None


def make_venv(python: str, folder: Path) -> Path:
    """A venv that holds requirements.txt alone, not even pip. Returns its Python."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=_LIMIT_S)
    own = folder / "bin/python"
    # with their dependencies: what the lock leaves out would be refused for want of a hash
    install(own, "--require-hashes", "-r", str(ROOT / "requirements.txt"))
    return own


def install(python: Path, *what: str) -> None:
    """Install into the venv of ``python`` with the pip of this one."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *what], check=True, timeout=_LIMIT_S)


def size_mb(folder: Path) -> float:
    """Megabytes of the files below ``folder``, without bytecode, which not every installer writes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def core(python: Path, folder: Path) -> int:
    """The quick unit tests of the app and of the local host. Returns pytest's exit code."""
    tools = folder / "requirements-core.txt"
    tools.write_text(excerpt(ROOT / "requirements-dev.txt", _TEST_PACKAGES))
    install(python, "-r", str(ROOT / "requirements-local.txt"), "-r", str(tools))
    command = [str(python), "-m", "pytest", "-q", "-n", "2", "-m", "unit and not slow", *_CORE]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=_LIMIT_S).returncode


def smoke(python: Path, folder: Path) -> tuple[int, dict[str, object]]:
    """Start the app of ``folder`` alone. Returns the exit code, and what ``smoke.py`` says."""
    command = [str(python), "-I", str(Path(__file__).with_name("smoke.py")), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=_LIMIT_S)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


def main(arguments: list[str]) -> int:
    """Returns 0 where all is well, and where the wanted Python is not installed."""
    parser = argparse.ArgumentParser(prog="make drill NAME=package", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="such as python3.13; default: this one")
    parser.add_argument("--core", action="store_true", help="run the core of the tests as well")
    given = parser.parse_args(arguments)
    python = wanted_python(given.python)
    if python is None:
        name = given.python.replace("python", "Python ")
        sys.stdout.write(f"skipped: no {name} here\n" + json.dumps({"skipped": True}) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="package-") as temporary:
        folder = build(folder=Path(temporary, "functions"))
        own = make_venv(python, Path(temporary, "venv"))
        site_packages = next(Path(temporary, "venv").glob("lib/*/site-packages"))
        sizes = {"package_mb": size_mb(folder), "site_packages_mb": size_mb(site_packages)}
        version = subprocess.run([str(own), "-V"], capture_output=True, text=True, check=True).stdout
        failed, told = smoke(own, folder)
        if not failed and given.core:
            failed = core(own, Path(temporary))
    python_version = version.removeprefix("Python ").strip()
    sys.stdout.write(json.dumps({"python": python_version, **sizes, **told}) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
