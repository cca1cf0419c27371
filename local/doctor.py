"""``make doctor``: what is missing on this machine, and how to fix it.

Standard library only, and works with Pythons older than the project's: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.installed import DoesNotRunError, installed, pinned
from local.ports import holder, is_free

_OLDEST, _NEWEST = (3, 11), (3, 13)
_NODE = 20
_DISK_GB = 6.0
_DISK_SET_UP_GB = 1.0
_MEMORY_GB = 4.0
_PORTS = {
    "PORT": 7071,
    "GPU_PORT": 8081,
    "NANO_BANANA_PORT": 8090,
    "AZURITE_BLOB_PORT": 10000,
    "AZURITE_QUEUE_PORT": 10001,
    "AZURITE_TABLE_PORT": 10002,
}
_ALL_PORTS = "ports"
# as ProviderWords in imagery/settings.py has it
_NEEDED_BY_VERTEX = ("project", "pool", "app_id")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_PROXY_LIMIT_S = 3
_COMMAND_LIMIT_S = 60
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; ``fix`` says what to do if it is not ``ok``."""

    name: str
    ok: bool
    found: str
    fix: str = ""


class Doctor:
    """Looks at the project in ``root`` with the variables of ``environment``."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._root = root
        self._environment = environment

    def look(self, names: list[str]) -> list[Finding]:
        """Run the named checks, or all; a check that raises becomes a finding."""
        checks: dict[str, Callable[[], Finding]] = {
            "python": self.python,
            "venv": self.venv_module,
            "node": self.node,
            "make": self.make,
            "disk": self.disk,
            "memory": self.memory,
            "proxy": self.proxy,
            "packages": self.packages,
            "models": self.models,
            "azurite": self.azurite,
            "stack": self.stack,
            "provider": self.provider,
            "image-model": self.image_model,
        }
        findings = [_guarded(name, checks[name]) for name in checks if not names or name in names]
        if not names or _ALL_PORTS in names:
            findings += [self.port(name, number) for name, number in _PORTS.items()]
        return findings

    def python(self) -> Finding:
        """The Python that runs this."""
        wanted = f"{_dotted(_OLDEST)} to {_dotted(_NEWEST)}"
        fix = f"install Python {wanted} and name it: make PYTHON=python3.11 (Debian: apt-get install python3)"
        current = sys.version_info[:2]
        return Finding("python", _OLDEST <= current <= _NEWEST, f"{_dotted(current)} ({sys.executable})", fix)

    def venv_module(self) -> Finding:
        """Virtual environments can be made."""
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        found = f"missing {', '.join(missing)}" if missing else "available"
        return Finding("venv", not missing, found, "apt-get install python3-venv")

    def node(self) -> Finding:
        """node and npm, for Azurite."""
        fix = f"install node {_NODE} or newer, with npm"
        node, npm = self._which("node"), self._which("npm")
        if node is None or npm is None:
            return Finding("node", False, f"{'npm' if node else 'node'} is missing", fix)
        text = self._run([node, "--version"]).stdout.strip()
        major = text.lstrip("v").split(".")[0]
        return Finding("node", major.isdigit() and int(major) >= _NODE, text or "does not run", fix)

    def make(self) -> Finding:
        """GNU make."""
        binary = self._which("make")
        fix = "install GNU make (Debian: apt-get install make)"
        if binary is None:
            return Finding("make", False, "missing", fix)
        first = (self._run([binary, "--version"]).stdout.splitlines() or ["does not run"])[0]
        return Finding("make", "GNU Make" in first, first, fix)

    def disk(self) -> Finding:
        """Room for packages and models."""
        free = shutil.disk_usage(self._root).free / 1e9
        needed = _DISK_SET_UP_GB if (self._root / ".venv/.packages").exists() else _DISK_GB
        fix = f"free {needed - free:.1f} GB: packages, models and pictures need {needed:.0f} GB here"
        return Finding("disk", free >= needed, f"{free:.1f} GB free, {needed:.0f} GB needed", fix)

    def memory(self) -> Finding:
        """Memory for the networks."""
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        fix = f"use a machine with {_MEMORY_GB:.0f} GB or more: the networks need it"
        return Finding("memory", total >= _MEMORY_GB, f"{total:.1f} GB", fix)

    def proxy(self) -> Finding:
        """The proxy that pip and npm would go through, if any, can be reached."""
        name = next((each for each in _PROXIES if self._environment.get(each)), None)
        if name is None:
            return Finding("proxy", True, "none")
        address = self._environment[name]
        parts = urlsplit(address if "//" in address else f"//{address}")
        # a proxy's address may hold a password
        shown = f"{name} is {parts.hostname}"
        fix = f"unset {name}, or set it to a proxy that works: pip and npm go through it"
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=_PROXY_LIMIT_S).close()
        except (OSError, ValueError) as error:
            return Finding("proxy", False, f"{shown}, which can't be reached ({error})", fix)
        return Finding("proxy", True, f"{shown}; the pieces talk to each other around it")

    def packages(self) -> Finding:
        """The virtual environment contains what the requirements pin."""
        python = self._venv_python()
        if python is None:
            return Finding("packages", False, "no virtual environment", "make setup")
        fix = "rm -rf .venv; make setup"
        pins = pinned(self._root)
        try:
            version, wrong = installed(python, pins, self._environment)
        except (DoesNotRunError, OSError) as error:
            return Finding("packages", False, f"the virtual environment does not run: {error}", fix)
        if not _OLDEST <= version <= _NEWEST:
            return Finding("packages", False, f"the virtual environment has Python {_dotted(version)}", fix)
        if wrong:
            more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            return Finding("packages", False, "; ".join(wrong[:_SHOWN]) + more, fix)
        return Finding("packages", True, f"{len(pins)} pinned packages, Python {_dotted(version)}")

    def models(self) -> Finding:
        """The model files exist and have the right sha256."""
        python = self._venv_python()
        if python is None:
            return Finding("models", False, "not checked: no virtual environment", "make setup")
        done = self._run([str(python), "-m", "gpu_container.fetch_models", "--check"])
        lines = (done.stdout.strip() or done.stderr.strip()[-300:]).splitlines()
        fix = ".venv/bin/python -m gpu_container.fetch_models"
        return Finding("models", done.returncode == 0, "; ".join(lines), fix)

    def azurite(self) -> Finding:
        """Azurite is installed, in the version that the lock file names."""
        folder = self._root / "local/azurite"
        wanted = _version(folder / "package-lock.json", "packages", "node_modules/azurite")
        installed = _version(folder / "node_modules/azurite/package.json")
        there = (folder / "node_modules/.bin/azurite").exists() and installed is not None
        if not there:
            return Finding("azurite", False, "missing", "make setup")
        found = f"{installed}" if installed == wanted else f"{installed}, not {wanted}"
        return Finding("azurite", installed == wanted, found, "rm -rf local/azurite/node_modules; make setup")

    def stack(self) -> Finding:
        """No state of a stack that has ended."""
        pid = self._state().get("pids", {}).get("stack")
        if not isinstance(pid, int):
            return Finding("stack", True, "not running")
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            found = f".run/state.json names pid {pid}, which has ended"
            return Finding("stack", False, found, "make run cleans it up; or remove .run/state.json")
        except PermissionError:
            # it runs under another user
            pass
        return Finding("stack", True, f"running (pid {pid})")

    def provider(self) -> Finding:
        """What NANO_BANANA_PROVIDER needs beside it."""
        text = self._environment.get("NANO_BANANA_PROVIDER", "")
        words = dict(part.partition("=")[::2] for part in text.split())
        asked = [words.get("name") or "gemini_api", words.get("fallback", "").partition(":")[0]]
        missing = [word for word in _NEEDED_BY_VERTEX if "vertex" in asked and not words.get(word)]
        if missing:
            wanted = " ".join(f"{word}=..." for word in missing)
            fix = f"add {wanted} to NANO_BANANA_PROVIDER: docs/providers.md"
            return Finding("provider", False, f"vertex without {', '.join(missing)}", fix)
        has_key = bool(self._environment.get("NANO_BANANA_API_KEY"))
        if "vertex" in asked and "gemini_api" in asked and not has_key:
            fix = "set NANO_BANANA_API_KEY, or take gemini_api out of NANO_BANANA_PROVIDER: docs/providers.md"
            return Finding("provider", False, "gemini_api beside vertex, without NANO_BANANA_API_KEY", fix)
        found = " then ".join(each for each in asked if each)
        return Finding("provider", True, found if has_key or "vertex" in asked else "the simulator")

    def image_model(self) -> Finding:
        """The paid model takes calls from here; what is asked for that is free."""
        name, python = "image-model", self._venv_python()
        is_keyless = "vertex" in self._environment.get("NANO_BANANA_PROVIDER", "")
        if not self._environment.get("NANO_BANANA_API_KEY") and not is_keyless:
            return Finding(name, True, "simulated (no NANO_BANANA_API_KEY)")
        if python is None:
            return Finding(name, False, "not asked: no virtual environment", "make setup")
        done = self._run([str(python), "-m", "imagery.providers.look"])
        found = done.stdout.strip() or done.stderr.strip()[-300:]
        return Finding(name, done.returncode == 0, found, "see the reason on the left, then: make doctor")

    def port(self, name: str, default: int) -> Finding:
        """A port of the stack is free, or used by this folder's own stack."""
        wish = self._environment.get(name) or str(default)
        if not wish.isdigit() or not 0 < int(wish) < 65536:
            return Finding(f"port {wish}", False, f"{name} is not a port", f"set {name} to 1 to 65535")
        number = int(wish)
        if is_free(number):
            return Finding(f"port {number}", True, f"free ({name})")
        if self._state().get("ports", {}).get(name) == number:
            return Finding(f"port {number}", True, f"used by this folder's stack ({name})")
        found = f"taken by {holder(number) or 'another program'} ({name})"
        return Finding(f"port {number}", False, found, f"end that program, or: make run {name}=another port")

    def _venv_python(self) -> Path | None:
        python = self._root / ".venv/bin/python"
        return python if python.exists() else None

    def _which(self, name: str) -> str | None:
        return shutil.which(name, path=self._environment.get("PATH", os.defpath))

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_LIMIT_S,
            cwd=self._root,
            env=self._environment,
        )

    def _state(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((self._root / ".run/state.json").read_text())
            if isinstance(state, dict):
                return state
        return {}


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Finding(name, False, f"could not be checked: {error}", "see the reason on the left")


def _dotted(version: Any) -> str:
    return ".".join(str(part) for part in version)


def _version(file: Path, *keys: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(file.read_text())
        for key in keys:
            found = found[key]
        return str(found["version"])
    return None


def main(arguments: list[str]) -> int:
    """Print the findings. Returns 1 if something must be fixed."""
    parser = argparse.ArgumentParser(prog="make doctor", description="What is missing, and how to fix it.")
    parser.add_argument("names", nargs="*", help="what to check, such as node or ports; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parent.parent, help="folder of the project"
    )
    given = parser.parse_args(arguments)
    findings = Doctor(given.root.resolve(), dict(os.environ)).look(given.names)
    problems = [each for each in findings if not each.ok]
    if not findings:
        parser.error(f"there is no check called {' '.join(given.names)}")
    if given.json:
        sys.stdout.write(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
        return 1 if problems else 0
    for each in findings:
        sys.stdout.write(f"{'OK     ' if each.ok else 'PROBLEM'}  {each.name:12} {each.found}\n")
        if not each.ok:
            sys.stdout.write(f"         {'':12} -> {each.fix}\n")
    sys.stdout.write(f"{len(problems)} to fix\n" if problems else "everything is fine\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
