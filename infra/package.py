"""``python -m infra.package``: puts what the function app is deployed from into build/functions.

Standard library only. azd uploads that folder (``dist`` in azure.yaml), the image copies it, and Core Tools
start in it and publish it: no ignore rules decide what is in it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build/functions"
FILES = ("function_app.py", "host.json", "requirements.txt")
ROOMS = ("activities", "api", "imagery", "lifecycle", "orchestrators")
DASHBOARD = "frontend/dist"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".built")


class NotBuiltError(Exception):
    """The dashboard is not built."""


def build(root: Path = ROOT, folder: Path = FOLDER) -> Path:
    """Empty ``folder`` and fill it. Returns it. Raises ``NotBuiltError``."""
    if not (root / DASHBOARD / "index.html").is_file():
        raise NotBuiltError(f"{DASHBOARD} is not built: make setup, or npm ci && npm run build in frontend/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy2(root / name, folder / name)
    for name in (*ROOMS, DASHBOARD):
        shutil.copytree(root / name, folder / name, ignore=_LEFT_OUT)
    return folder


def main() -> int:
    """Build it and print what is in it."""
    try:
        folder = build()
    except NotBuiltError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for each in sorted(folder.iterdir()):
        files = [path for path in each.rglob("*") if path.is_file()] if each.is_dir() else [each]
        size = sum(path.stat().st_size for path in files)
        sys.stdout.write(f"{size / 1000:9.0f} kB {len(files):5} files  {each.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
