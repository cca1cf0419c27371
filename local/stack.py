"""``make run``: starts every piece, waits until each is healthy, runs one picture, and serves."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import httpx
from rich.console import Console

from local import progress
from local.options import ROOT, StackOptions, parse
from local.pieces import connection_string, development_key, is_simulated, migrate, pieces, settings
from local.ports import PortTakenError, choose, holder
from local.processes import Child, StartError, Supervisor, stop_all
from local.state import AlreadyRunningError, NotPrivateError, RunFolder

_LOOK_EVERY_S = 0.5
_REPORT_EVERY_S = 15.0
_FAILED = 1
_BAD_START = 2


class StoppedError(Exception):
    """A signal asked the stack to stop."""


class Stack:
    """One run of the stack."""

    def __init__(self, options: StackOptions, folder: RunFolder, console: Console) -> None:
        self._options = options
        self._folder = folder
        self._console = console
        self._stopping = threading.Event()
        self._ending = False
        self._ports = self._choose_ports()
        self._migration = migrate(options, self._ports)
        self._children = pieces(options, self._ports)
        self._supervisor = Supervisor(self._children, self._say)
        self._key: str | None = None
        self._url = f"http://127.0.0.1:{self._ports['PORT']}"
        self._started_at = time.time()

    def run(self) -> int:
        """Run until the picture is done (``--once``) or a signal comes. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        # under nohup it stays ignored
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_signal)
        try:
            return self._start_and_serve()
        except StoppedError:
            # --once promised a picture, and there is none
            return _FAILED if self._options.once else 0
        except StartError as error:
            self._complain(str(error))
            return _FAILED
        finally:
            self._ending = True
            self._say("stopping")
            stop_all([self._migration, *self._children])

    def _start_and_serve(self) -> int:
        self._start()
        code = self._run_picture() if self._options.sample else 0
        if self._options.once:
            return code
        self._serve()
        return 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal ends the stack at its next look, a second one at once."""
        if self._stopping.is_set() and not self._ending:
            raise StoppedError
        self._stopping.set()

    def _choose_ports(self) -> dict[str, int]:
        wishes = list(self._options.ports.values())
        ports = choose(wishes)
        for wish in wishes:
            if ports[wish.name] != wish.number:
                who = holder(wish.number) or "another program"
                self._say(
                    f"port {wish.number} is taken by {who}; {wish.name} is {ports[wish.name]} this time"
                )
        return ports

    def _start(self) -> None:
        if self._folder.orphans:
            self._say(f"ended processes that a killed stack left: {', '.join(self._folder.orphans)}")
        self._say(_cost_line(self._options))
        *before, host = self._children
        for child in before:
            child.start()
        self._migration.start()
        self._write_state()
        self._wait_for_migration()
        self._key, is_new = development_key(self._options, self._ports)
        if is_new:
            kept = self._folder.path / "api.key"
            self._say(f"new API key for you (kept in {kept}):")
            self._console.print(f"  {self._key}", markup=False, highlight=False, soft_wrap=True)
        for child in before:
            if child.name == "azurite":
                self._wait(child)
        # the host needs storage and tables; models may load beside it
        host.start()
        self._write_state()
        for child in self._children:
            if child.name != "azurite":
                self._wait(child)

    def _wait_for_migration(self) -> None:
        until = time.monotonic() + self._options.start_limit_s
        while self._migration.is_running and time.monotonic() < until:
            self._stop_if_asked()
            time.sleep(0.05)
        self._migration.check_success()

    def _wait(self, child: Child) -> None:
        started = time.monotonic()
        reported = started

        def look() -> None:
            nonlocal reported
            self._stop_if_asked()
            if time.monotonic() - reported >= _REPORT_EVERY_S:
                reported = time.monotonic()
                # the very first start compiles for about a minute
                self._say(f"{child.name} is still starting ({reported - started:.0f} s; log: {child.log})")

        child.wait_ready(self._options.start_limit_s, look)
        self._say(f"{child.name} is healthy ({time.monotonic() - started:.1f} s, pid {child.pid})")
        self._look()

    def _run_picture(self) -> int:
        image = self._options.image
        headers = {"X-API-Key": self._key or ""}
        with httpx.Client(base_url=self._url, headers=headers, timeout=30, trust_env=False) as client:
            try:
                job_id = progress.submit(client, image)
                self._say(f"{image.name} is job {job_id}")
                limit = self._options.job_limit_s
                status = progress.follow(client, job_id, self._console, limit, self._look)
                files = progress.download(client, job_id, self._folder.path / "results" / job_id)
            except (progress.JobFailedError, httpx.HTTPError, OSError) as error:
                self._complain(f"{image.name}: {error}")
                return _FAILED
        cost = "simulated" if is_simulated(self._options) else "paid"
        self._say(f"{image.name} is {status['state']}, ${status['cost_usd']:.2f} {cost}")
        for file in files:
            self._console.print(f"  {file}", markup=False, highlight=False, soft_wrap=True)
        if status["state"] == "COMPLETED":
            return 0
        reason = status["error"] or {"message": "no reason was given", "code": "unknown"}
        self._complain(f"{reason['message']} ({reason['code']})")
        return _FAILED

    def _serve(self) -> None:
        shown = {
            "dashboard": f"{self._url}/#key={self._key}",
            "API and docs": f"{self._url}/docs",
            "jobs": f"{self._url}/api/v1/jobs",
            "health": f"{self._url}/healthz",
            "metrics": f"{self._url}/api/v1/metrics",
            "logs": str(self._folder.path / "logs"),
            "state": f"{self._folder.state_file} (addresses, connection string, API key)",
        }
        if self._options.storage == "azurite":
            shown["uploads"] = f"container 'uploads' of Azurite, blob port {self._ports['AZURITE_BLOB_PORT']}"
        else:
            storage = settings(self._options, self._ports)["LOCAL_STORAGE_PATH"]
            shown["uploads"] = f"folder {storage}/uploads"
        if is_simulated(self._options):
            port = self._ports["NANO_BANANA_PORT"]
            shown["bill (simulated)"] = f"http://127.0.0.1:{port}/_simulator/bill"
        shown["try it"] = f'curl -H "X-API-Key: $(cat {self._folder.path / "api.key"})" {self._url}/api/v1/me'
        for name, where in shown.items():
            self._console.print(f"  {name:18}{where}", markup=False, highlight=False, soft_wrap=True)
        self._say("serving; Ctrl-C ends everything")
        while True:
            self._look()
            self._stopping.wait(_LOOK_EVERY_S)

    def _look(self) -> None:
        """Restart pieces that died, and stop after a signal."""
        self._stop_if_asked()
        if self._supervisor.look():
            self._write_state()

    def _stop_if_asked(self) -> None:
        if self._stopping.is_set():
            raise StoppedError

    def _write_state(self) -> None:
        options, ports = self._options, self._ports
        environment = settings(options, ports)
        urls = {"host": self._url, "gpu": environment["GPU_SERVICE_URL"]}
        if is_simulated(options):
            urls["nano_banana"] = environment["NANO_BANANA_BASE_URL"]
        started = {child.name: child for child in self._children if child.pid is not None}
        state: dict[str, Any] = {
            "urls": urls,
            "ports": ports,
            "pids": {"stack": os.getpid(), **{name: child.pid for name, child in started.items()}},
            "processes": {
                name: {"pid": child.pid, "started": child.started} for name, child in started.items()
            },
            "storage_connection_string": connection_string(ports) if options.storage == "azurite" else None,
            "local_storage_path": None if options.storage == "azurite" else environment["LOCAL_STORAGE_PATH"],
            "database_url": environment["DATABASE_URL"],
            "webhook_signing_key": environment["WEBHOOK_SIGNING_KEY"],
            "nano_banana_simulated": is_simulated(options),
            "api_key": self._key,
            "started_at": self._started_at,
        }
        self._folder.write(state)

    def _say(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        self._console.print(f"[{stamp}] {text}", markup=False, highlight=False, soft_wrap=True)

    def _complain(self, text: str) -> None:
        self._console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def _cost_line(options: StackOptions) -> str:
    if is_simulated(options):
        return "Nano Banana: SIMULATED (no NANO_BANANA_API_KEY) - no money is spent"
    prices = options.environment.get("NANO_BANANA_PRICES", "").split()
    said = dict(word.partition("=")[::2] for word in prices)
    contract = said.get("contract_usd") or options.environment.get("NANO_BANANA_PRICE_USD") or 0.08
    by_model = ", or what NANO_BANANA_PRICES says of its model and size" if said.get("models") else ""
    return f"Nano Banana: REAL: each image costs ${float(contract):.2f}{by_model}"


def main(arguments: list[str]) -> int:
    """Run the stack. Returns 0 if all went well, 1 if a piece or the picture failed, 2 without a start."""
    options, console = parse(arguments), Console()
    if options.sample and not options.image.is_file():
        console.print(f"there is no file {options.image}", style="red", markup=False, soft_wrap=True)
        return _BAD_START
    os.chdir(ROOT)
    # children inherit it: databases, blobs and logs are their owner's too, where a copy of the folder is not
    os.umask(0o077)
    try:
        with RunFolder(options.run_dir) as folder:
            return Stack(options, folder, console).run()
    except (AlreadyRunningError, NotPrivateError, PortTakenError, StartError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return _BAD_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
