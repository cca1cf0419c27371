"""``python -m devhost --port 7071``: serve the functions of ``function_app.py``."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
from pathlib import Path

from devhost import app as functions
from devhost import side_effects
from devhost.faults import FaultInjector, FaultsFileError
from devhost.server import Host, Server, listen
from devhost.settings import SettingsError, load, setting

_BAD_START = 2


def main(arguments: list[str]) -> int:
    """Serve the app until SIGTERM or Ctrl-C. Returns 0, or 2 after one line on stderr if it can't start."""
    given = _parser().parse_args(arguments)
    # what it writes holds photos and keys: its owner alone reads them
    os.umask(0o077)
    # one handler, installed first: the app only sets its formatter, and no line is written twice
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if not _is_usable(given.host):
        return _refuse(f"--host {given.host}: the durable API needs a loopback address, or 0.0.0.0 for all")
    try:
        listener = listen(given.host, given.port)
    except OSError as error:
        reason = error.strerror or str(error)
        return _refuse(f"port {given.port} can't be used: {reason}; choose another with --port")
    port = int(listener.getsockname()[1])
    app_dir, state_dir = given.app_dir.resolve(), given.state_dir.resolve()
    faults_file = given.faults.resolve() if given.faults else None
    try:
        settings = load(app_dir, state_dir, given.host, port, faults_file)
        # relative paths in the app's settings mean its folder, as with the real host
        os.chdir(app_dir)
        injector = FaultInjector.from_file(settings.faults_file, state_dir)
        if settings.faults_file:
            side_effects.install(injector, Path(setting("LOCAL_STORAGE_PATH") or "data"))
        host = Host(settings, functions.load(app_dir), injector)
    except (SettingsError, functions.LoadError, FaultsFileError, ValueError, OSError) as error:
        listener.close()
        return _refuse(str(error))
    Server(host).run(sockets=[listener])
    # activities that still run are abandoned, as when the platform removes an instance
    logging.shutdown()
    sys.stdout.flush()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devhost", description="Run function_app.py without Azure Functions Core Tools."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free one (default %(default)s)")
    parser.add_argument("--app-dir", type=Path, default=Path(), help="folder of function_app.py (default .)")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".run/host"),
        help="blob receipts and function key (default %(default)s)",
    )
    parser.add_argument("--faults", type=Path, help="JSON file of faults to inject, see devhost/faults.py")
    return parser


def _is_usable(host: str) -> bool:
    """The app calls the durable API at this address, and that API serves loopback addresses only."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(reason: str) -> int:
    sys.stderr.write(f"devhost: {reason}\n")
    return _BAD_START


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # threads of the in-memory backend that wait for far timers must not hold the process
    os._exit(code)
