"""``make lock``: compiles each hand-kept ``requirements*.in`` into the lock beside it, ``requirements*.txt``.

A lock names every package, transitive ones too, for Python 3.11 to 3.13 on all platforms, with the sha256 of
each file that may be installed. What is locked keeps its version: ``ARGS="--upgrade-package idna"`` takes the
newest one, ``ARGS=--upgrade`` all newest ones. ``--check`` writes nothing, and fails where a lock is not what
its source asks for. Only compiling needs a package, uv; the rest is the standard library.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_LIMIT_S = 300
_PIN = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.*?))?\s*$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Lock:
    """A source, and what its compilation needs beyond the usual; the lock lies beside it as ``.txt``."""

    source: str
    python: str = "3.11"
    options: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The lock, relative to the root of the project."""
        return self.source.removesuffix(".in") + ".txt"


@dataclass(frozen=True)
class Pin:
    """One package of a lock or of a source.

    ``name`` is normalised, ``marker`` empty where the package is for everybody. ``needed_by``: names of the
    packages of the lock that require it, empty for a package that only the source asks for.
    """

    name: str
    version: str
    marker: str
    hashes: frozenset[str]
    needed_by: frozenset[str]


class LockError(Exception):
    """A lock can't be compiled; the message says why."""


# in this order: each is held to the versions of those before it that are installed with it
LOCKS = (
    Lock("requirements.in"),
    Lock("gpu_container/requirements.in"),
    Lock("gpu_container/requirements-sources.in", options=("--no-deps",)),
    Lock("gpu_container/requirements-cuda.in"),
    Lock("requirements-local.in"),
    Lock("requirements-dev.in"),
    Lock("local/requirements-simulator.in"),
    Lock("infra/requirements.in"),
    Lock("drills/functions_host/requirements.in", python="3.13"),
)


def read_pins(path: Path) -> list[Pin]:
    """The packages of a lock or of a source. Raises ``LockError`` for a line that is none of either."""
    return [_pin(path, block) for block in _blocks(path)]


def _blocks(path: Path) -> list[str]:
    """One text for each package: its line, its hashes, and the comment that says what needs it."""
    parts = re.split(r"^(?=[^\s#])", path.read_text(), flags=re.MULTILINE)[1:]
    return [part for part in parts if not part.startswith(("-c ", "-r "))]


def _pin(path: Path, block: str) -> Pin:
    requirement = re.sub(r"#.*", "", block).replace("\\\n", " ")
    match = _PIN.match(_HASH.sub("", requirement))
    if match is None:
        raise LockError(f"{path.name}: {block.splitlines()[0]} is not pinned")
    parents = re.sub(r"-[cr] \S+", "", block.partition("# via")[2]).replace("#", " ").split()
    return Pin(
        name=re.sub(r"[-_.]+", "-", match["name"]).lower(),
        version=match["version"],
        marker=match["marker"] or "",
        hashes=frozenset(_HASH.findall(requirement)),
        needed_by=frozenset(parents),
    )


def excerpt(lock: Path, names: set[str]) -> str:
    """The part of a lock that installs these packages and all that they need. Raises ``LockError``."""
    pins = read_pins(lock)
    missing = names - {pin.name for pin in pins}
    if missing:
        raise LockError(f"{lock.name} has no {', '.join(sorted(missing))}")
    wanted, more = set[str](), set(names)
    while more:
        wanted |= more
        more = {pin.name for pin in pins if pin.needed_by & more} - wanted
    return "".join(block for pin, block in zip(pins, _blocks(lock), strict=True) if pin.name in wanted)


def compile_lock(lock: Lock, output: Path, more: list[str]) -> None:
    """Write the lock to ``output``; what stands there already keeps its version. Raises ``LockError``."""
    options = ["--universal", "--python-version", lock.python, "--generate-hashes", *lock.options]
    command = [_uv(), "pip", "compile", *options, "--quiet", "--no-config", "--no-emit-index-url", *more]
    # Dependabot reads the options in the header, and compiles with them
    header = f"make lock: uv pip compile {' '.join(options)} {lock.source}"
    command += ["--custom-compile-command", header, lock.source, "--output-file", str(output)]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT_S
    )
    if done.returncode != 0:
        raise LockError(f"{lock.source}: {done.stderr.strip()}")


def _uv() -> str:
    """Raises ``LockError``."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise LockError("uv is missing: requirements-dev.txt has it, and 'make lock' installs that first")
    return found


def differences(lock: Lock) -> list[str]:
    """Compile into a copy of the lock. Returns what is another version there, or may be another file."""
    known = read_pins(ROOT / lock.path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "lock.txt")
        shutil.copyfile(ROOT / lock.path, copy)
        compile_lock(lock, copy, [])
        compiled = read_pins(copy)
    fresh = {(pin.name, pin.version, pin.marker): pin.hashes for pin in compiled}
    locked = {(pin.name, pin.version, pin.marker): pin.hashes for pin in known}
    lines = [f"{' '.join(key)} is missing" for key in fresh.keys() - locked.keys()]
    lines += [f"{' '.join(key)} is not asked for" for key in locked.keys() - fresh.keys()]
    # a maintainer may add files to a version later, but none may be replaced
    both = fresh.keys() & locked.keys()
    lines += [f"{' '.join(key)} has other hashes" for key in both if not locked[key] <= fresh[key]]
    return [f"{lock.path}: {line}" for line in sorted(lines)]


def main(arguments: list[str]) -> int:
    """Compile or check every lock. Returns 1 if one differs, or can't be compiled."""
    parser = argparse.ArgumentParser(prog="python -m infra.locks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--excerpt", type=Path, metavar="LOCK", help="print the part that installs PACKAGE")
    parser.add_argument("--package", action="append", default=[], help="with --excerpt: a name, many times")
    given, more = parser.parse_known_args(arguments)
    try:
        if given.excerpt:
            sys.stdout.write(excerpt(given.excerpt, set(given.package)))
            return 0
        if given.check:
            found = [line for lock in LOCKS for line in differences(lock)]
            sys.stdout.writelines(f"{line}\n" for line in found)
            return int(bool(found))
        for lock in LOCKS:
            compile_lock(lock, ROOT / lock.path, more)
            sys.stdout.write(f"{lock.path}: {len(read_pins(ROOT / lock.path))} packages\n")
    except LockError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
