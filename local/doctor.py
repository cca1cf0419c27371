"""``make doctor``: what is missing on this machine, and how to mend it. Needs nothing but Python itself."""

from __future__ import annotations

import argparse
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

ROOT = Path(__file__).resolve().parent.parent
_OLDEST, _NEWEST = (3, 11), (3, 13)
_NODE = 20
_DISK_GB = 6.0
_MEMORY_GB = 4.0
_PORTS = {
    "PORT": 7071,
    "GPU_PORT": 8081,
    "NANO_BANANA_PORT": 8090,
    "AZURITE_BLOB_PORT": 10000,
    "AZURITE_QUEUE_PORT": 10001,
    "AZURITE_TABLE_PORT": 10002,
}
_MODULES = "torch, rembg, realesrgan, onnxruntime, fastapi, sqlmodel, durabletask, azure.durable_functions"
_LIMIT_S = 60


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``mend`` says what to do when it is not right."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def python_version(version: tuple[int, int] | None = None) -> Finding:
    """The Python that runs this."""
    current = version or sys.version_info[:2]
    text = ".".join(str(part) for part in current)
    wanted = f"Python {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}"
    mend = (
        f"install {wanted} and run make with PYTHON=python3.11 (Debian: apt-get install python3 python3-venv)"
    )
    return Finding("python", _OLDEST <= current <= _NEWEST, text, mend)


def venv_module() -> Finding:
    """Virtual environments can be made."""
    there = importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None
    return Finding("venv", there, "there" if there else "missing", "apt-get install python3-venv")


def node() -> Finding:
    """node and npm, for Azurite."""
    binary = shutil.which("node")
    if binary is None or shutil.which("npm") is None:
        return Finding("node", False, "missing", f"install node {_NODE} or newer with npm")
    done = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=False, timeout=_LIMIT_S
    )
    text = done.stdout.strip()
    digits = text.lstrip("v").split(".")[0]
    ok = digits.isdigit() and int(digits) >= _NODE
    return Finding("node", ok, text or "does not run", f"install node {_NODE} or newer")


def make() -> Finding:
    """GNU make."""
    binary = shutil.which("make")
    return Finding("make", binary is not None, binary or "missing", "apt-get install make")


def disk(free_gb: float | None = None) -> Finding:
    """Room for packages and models."""
    free = shutil.disk_usage(ROOT).free / 1e9 if free_gb is None else free_gb
    mend = f"free {_DISK_GB - free:.1f} GB: packages and models take about {_DISK_GB:.0f} GB"
    return Finding("disk", free >= _DISK_GB or _is_set_up(), f"{free:.1f} GB free", mend)


def memory() -> Finding:
    """Memory for the networks."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    mend = f"a machine with {_MEMORY_GB:.0f} GB: the networks need it"
    return Finding("memory", total >= _MEMORY_GB, f"{total:.1f} GB", mend)


def port(name: str, default: int) -> Finding:
    """A port that the stack will want is free, or held by the stack itself."""
    number = int(os.environ.get(name) or default)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            own = _state().get("ports", {}).get(name) == number
            mend = f"end what listens on {number}, or set {name} to another port"
            return Finding(f"port {number}", own, "used by this stack" if own else "taken", mend)
    return Finding(f"port {number}", True, "free")


def packages() -> Finding:
    """The virtual environment is complete."""
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        return Finding("packages", False, "no virtual environment", "make setup")
    lookups = [name.strip() for name in _MODULES.split(",")]
    code = f"import importlib.util as u; print([n for n in {lookups} if u.find_spec(n) is None])"
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=False, timeout=_LIMIT_S, cwd=ROOT
    )
    ok = done.returncode == 0 and done.stdout.strip() == "[]"
    found = "complete" if ok else f"missing {done.stdout.strip() or done.stderr.strip()[-200:]}"
    return Finding("packages", ok, found, "make clean setup")


def models() -> Finding:
    """The model files are there and right, by sha256."""
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        return Finding("models", False, "not checked: no virtual environment", "make setup")
    command = [str(python), "-m", "gpu_container.fetch_models", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S, cwd=ROOT)
    found = "; ".join((done.stdout.strip() or done.stderr.strip()[-300:]).splitlines())
    return Finding("models", done.returncode == 0, found, ".venv/bin/python -m gpu_container.fetch_models")


def azurite() -> Finding:
    """Azurite is installed."""
    there = (ROOT / "local/azurite/node_modules/.bin/azurite").exists()
    return Finding("azurite", there, "there" if there else "missing", "make setup")


def run_folder() -> Finding:
    """No state of a stack that is gone."""
    pid = _state().get("pids", {}).get("stack")
    if pid is None:
        return Finding("stack", True, "not running")
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return Finding(
            "stack", False, f".run/state.json names pid {pid}, which is gone", "make run cleans it up"
        )
    except PermissionError:
        pass
    return Finding("stack", True, f"running (pid {pid})")


def checks() -> list[Callable[[], Finding]]:
    """Everything that is looked at, in order."""
    ports = [lambda name=name, number=number: port(name, number) for name, number in _PORTS.items()]
    return [
        python_version,
        venv_module,
        node,
        make,
        disk,
        memory,
        *ports,
        packages,
        models,
        azurite,
        run_folder,
    ]


def _is_set_up() -> bool:
    return (ROOT / ".venv/.packages").exists()


def _state() -> dict[str, dict[str, int]]:
    try:
        state = json.loads((ROOT / ".run/state.json").read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def main(arguments: list[str]) -> int:
    """Look, tell, and exit 1 when something has to be mended."""
    parser = argparse.ArgumentParser(prog="make doctor", description="What is missing, and how to mend it.")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    findings = [check() for check in checks()]
    if given.json:
        sys.stdout.write(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
    else:
        for each in findings:
            sys.stdout.write(f"{'ok     ' if each.ok else 'PROBLEM'}  {each.name:12} {each.found}\n")
            if not each.ok:
                sys.stdout.write(f"         {'':12} -> {each.mend}\n")
    return 0 if all(each.ok for each in findings) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
