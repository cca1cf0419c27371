"""``make users``: runs ``imagery.users`` on the database of the stack that runs here.

Without a running stack it takes the database that ``DATABASE_URL`` names. ``IMAGERY_RUN_DIR`` names the
folder of the stack, ``.run`` by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.options import ROOT
from local.state import RunFolder

_BAD_START = 2
_NOTHING_RUNS = (
    "No stack is running here, and DATABASE_URL is not set. Start the stack with 'make run', "
    "or set DATABASE_URL to the database whose users you want to manage.\n"
)


def database_variables(folder: RunFolder, variables: Mapping[str, str]) -> dict[str, str] | None:
    """The variables that name the users' database and the key that signs their callbacks.

    Returns None if no stack is running and ``DATABASE_URL`` is not set.
    """
    if folder.is_locked:
        state = folder.read()
        if "database_url" in state:
            return {
                "DATABASE_URL": state["database_url"],
                "WEBHOOK_SIGNING_KEY": state["webhook_signing_key"],
            }
    return {} if variables.get("DATABASE_URL") else None


def main(arguments: list[str]) -> int:
    """Run ``imagery.users``. Returns its exit code, or 2 if there is no database to work on."""
    os.chdir(ROOT)
    folder = RunFolder(Path(os.environ.get("IMAGERY_RUN_DIR") or ".run"))
    command = [sys.executable, "-m", "imagery.users", *(arguments or ["--help"])]
    found = database_variables(folder, os.environ)
    if found is None:
        sys.stderr.write(_NOTHING_RUNS)
        return _BAD_START
    return subprocess.call(command, env={**os.environ, **found})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
