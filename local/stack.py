"""``make run``: starts every piece, waits until each is healthy, runs one picture, and serves."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
from rich.console import Console

from local import progress
from local.options import ROOT, Options, parse
from local.pieces import connection_string, is_simulated, pieces, settings
from local.ports import PortTakenError, choose
from local.processes import Child, StartError, Supervisor, stop_all
from local.state import AlreadyRunningError, RunFolder

_LOOK_EVERY_S = 0.5
_BAD_START = 2


class StoppedError(Exception):
    """The user, or the system, asked to stop."""


class Stack:
    """One run of the stack."""

    def __init__(self, options: Options, folder: RunFolder, console: Console) -> None:
        self._options = options
        self._folder = folder
        self._console = console
        self._stopping = threading.Event()
        self._ports = self._choose_ports()
        self._children = pieces(options, self._ports)
        self._supervisor = Supervisor(self._children, self._say)
        self._url = f"http://127.0.0.1:{self._ports['PORT']}"
        self._started_at = time.time()

    def run(self) -> int:
        """Until the picture is done (``--once``) or somebody stops it: the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())
        code = 0
        try:
            self._start()
            if self._options.sample:
                code = self._run_picture()
            if not self._options.once:
                self._serve()
        except StoppedError:
            code = 0
        except StartError as error:
            self._console.print(str(error), style="red", markup=False, highlight=False)
            code = 1
        finally:
            self._say("stopping")
            stop_all(self._children)
        return code

    def _choose_ports(self) -> dict[str, int]:
        ports = {}
        for name, wish in self._options.ports.items():
            ports[name] = choose(wish)
            if ports[name] != wish.number:
                self._say(f"port {wish.number} is taken; {name} is {ports[name]} this time")
        return ports

    def _start(self) -> None:
        self._say(_money(self._options))
        before = [child for child in self._children if child.name != "host"]
        host = self._children[-1]
        for child in before:
            child.start()
        self._write_state()
        for child in before:
            self._wait(child)
        host.start()
        self._write_state()
        self._wait(host)

    def _wait(self, child: Child) -> None:
        started = time.monotonic()
        child.wait_ready(self._options.start_limit_s)
        self._say(f"{child.name} is healthy ({time.monotonic() - started:.1f} s, pid {child.pid})")
        self._look()

    def _run_picture(self) -> int:
        image = self._options.image
        with httpx.Client(base_url=self._url, timeout=60) as client:
            try:
                job_id = progress.submit(client, image)
                self._say(f"{image.name} is job {job_id}")
                limit = self._options.job_limit_s
                status = progress.follow(client, job_id, self._console, limit, self._look)
                files = progress.download(client, job_id, self._folder.path / "results" / job_id)
            except (progress.JobFailedError, httpx.HTTPError, OSError) as error:
                self._console.print(str(error), style="red", markup=False, highlight=False)
                return 1
        for file in files:
            self._console.print(f"  {file}", markup=False, highlight=False, soft_wrap=True)
        if status["state"] == "COMPLETED":
            return 0
        reason = status["error"] or {"message": "no reason was given", "code": "unknown"}
        self._console.print(
            f"{status['state']}: {reason['message']} ({reason['code']})", style="red", markup=False
        )
        return 1

    def _serve(self) -> None:
        shown = {
            "API and docs": f"{self._url}/docs",
            "jobs": f"{self._url}/api/v1/jobs",
            "health": f"{self._url}/healthz",
            "metrics": f"{self._url}/api/v1/metrics",
            "state": str(self._folder.state_file),
        }
        if self._options.storage == "azurite":
            shown["uploads"] = f"container 'uploads' of Azurite, blob port {self._ports['AZURITE_BLOB_PORT']}"
        else:
            storage = settings(self._options, self._ports)["LOCAL_STORAGE_PATH"]
            shown["uploads"] = f"folder {storage}/uploads"
        if is_simulated(self._options):
            port = self._ports["NANO_BANANA_PORT"]
            shown["bill (simulated)"] = f"http://127.0.0.1:{port}/_simulator/bill"
        for name, where in shown.items():
            self._console.print(f"  {name:18}{where}", markup=False, highlight=False, soft_wrap=True)
        self._say("serving; Ctrl-C ends everything")
        while True:
            self._look()
            self._stopping.wait(_LOOK_EVERY_S)

    def _look(self) -> None:
        """Restart what died, and stop when asked to."""
        if self._stopping.is_set():
            raise StoppedError
        if self._supervisor.look():
            self._write_state()

    def _write_state(self) -> None:
        options, ports = self._options, self._ports
        environment = settings(options, ports)
        urls = {"host": self._url, "gpu": environment["GPU_SERVICE_URL"]}
        if is_simulated(options):
            urls["nano_banana"] = environment["NANO_BANANA_BASE_URL"]
        state: dict[str, Any] = {
            "urls": urls,
            "ports": ports,
            "pids": {"stack": os.getpid(), **{child.name: child.pid for child in self._children}},
            "storage_connection_string": connection_string(ports) if options.storage == "azurite" else None,
            "local_storage_path": None if options.storage == "azurite" else environment["LOCAL_STORAGE_PATH"],
            "database_url": environment["DATABASE_URL"],
            "nano_banana_simulated": is_simulated(options),
            "api_key": None,
            "started_at": self._started_at,
        }
        self._folder.write(state)

    def _say(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        self._console.print(f"[{stamp}] {text}", markup=False, highlight=False, soft_wrap=True)


def _money(options: Options) -> str:
    if is_simulated(options):
        return "Nano Banana: SIMULATED (NANO_BANANA_API_KEY is not set), no money is spent"
    price = options.environment.get("NANO_BANANA_PRICE_USD", "0.08")
    return f"Nano Banana: REAL, each picture costs ${price}"


def main(arguments: list[str]) -> int:
    """Run the stack."""
    options, console = parse(arguments), Console()
    if options.sample and not options.image.is_file():
        console.print(f"there is no picture {options.image}", style="red", markup=False)
        return _BAD_START
    options = _with_absolute_image(options)
    os.chdir(ROOT)
    try:
        with RunFolder(options.run_dir) as folder:
            return Stack(options, folder, console).run()
    except (AlreadyRunningError, PortTakenError, StartError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return _BAD_START


def _with_absolute_image(options: Options) -> Options:
    return replace(options, image=options.image.resolve())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
