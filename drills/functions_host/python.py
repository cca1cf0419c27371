"""The Python of Microsoft's worker: 3.13 with the app's packages and the worker library, built once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed.stack import ROOT

CACHE = ROOT / ".run/functions-host"
_HERE = Path(__file__).parent
_SCHEMA = "worker_channel.proto"
_VERSION = "3.13"
_LIMIT_S = 580
_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


class PythonMissingError(Exception):
    """There is no Python of the version that the worker library needs."""


def interpreter() -> Path:
    """The Python that runs ``worker.py`` and ``library.py``; the first call builds it, in about a minute.

    Raises ``PythonMissingError``, and ``RuntimeError`` if its packages can't be installed.
    """
    base = _base()
    sources = [ROOT / "requirements.txt", _HERE / "requirements.txt", _HERE / _SCHEMA]
    mark = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()
    folder = CACHE / "python"
    python, built = folder / "bin/python", folder / "built-from"
    if not built.exists() or built.read_text() != mark:
        shutil.rmtree(folder, ignore_errors=True)
        _build(base, folder, python)
        built.write_text(mark)
    return python


def _base() -> str:
    """Raises ``PythonMissingError``."""
    if sys.version_info[:2] == (3, 13):
        return sys.executable
    name = f"python{_VERSION}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (shutil.which(name), *sorted(map(str, pyenv.glob(f"versions/{_VERSION}.*/bin/{name}")))):
        # pyenv puts a script of that name on the path also where the version is not installed
        if found and subprocess.run([found, "--version"], check=False, capture_output=True).returncode == 0:
            return found
    raise PythonMissingError(f"Microsoft's worker library needs Python {_VERSION}, and there is none here")


def _build(base: str, folder: Path, python: Path) -> None:
    sys.stderr.write(f"building a Python {_VERSION} with Microsoft's worker library in {folder}\n")
    _run([base, "-m", "venv", str(folder)])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locks = ["-r", str(ROOT / "requirements.txt"), "-r", str(_HERE / "requirements.txt")]
    _run([str(python), *install, "--require-hashes", *locks])
    target = _run([str(python), "-c", _SITE_PACKAGES]).strip()
    outputs = [f"--python_out={target}", f"--grpc_python_out={target}"]
    _run([str(python), "-m", "grpc_tools.protoc", f"-I{_HERE}", *outputs, _SCHEMA])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
