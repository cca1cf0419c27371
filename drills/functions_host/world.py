"""All that the drill runs: Azurite, PostgreSQL, GPU service, simulator, and the app on a Functions host."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from drills.functions_host.gateway import GpuGateway
from drills.functions_host.python import CACHE
from drills.functions_host.requests_log import RequestsLog
from drills.load.jobs import photo
from drills.load.target import Target
from imagery.contracts import JOBS, TERMINAL_STATES, UPLOADS, BlobRef, JobOptions, JobState
from imagery.database.engine import Database, make_engine
from imagery.database.migrate import upgrade
from imagery.environment import read
from imagery.job_ids import upload_job_id
from imagery.settings import Settings
from imagery.storage import Storage, make_storage
from infra.package import ROOMS
from testbed.azurite import Azurite, start_azurite
from testbed.ports import free_port
from testbed.postgres import is_installed, start_postgres
from testbed.servers import Server
from testbed.stack import ROOT, Stack

# host.json, which is deployed too, is written for each start
_APP = ("function_app.py", *ROOMS)
_HOST = {
    "ENV": "PROD",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "PYTHON_THREADPOOL_THREAD_COUNT": "32",
    "STAGE_CACHE": "user",
    "NANO_BANANA_RETRY": "first_s=0.5 timeout_s=15",
    "RECONCILE_SCHEDULE": "*/15 * * * * *",
    "RECONCILE": "grace_s=10 restarts=100",
    # its sweep of uploads would hide an event that got lost
    "RETENTION_SCHEDULE": "0 0 0 1 1 *",
}
_MARK = "FUNCTIONS_HOST_DRILL"
_READY = re.compile(r"worker ready: (\d+) functions")
_LOOK_EVERY_S = 0.2
_ANSWERS_LIMIT_S = 60.0
_TRANSPORT = (httpx.TransportError, ValueError)


@dataclass(frozen=True)
class FunctionsHost:
    """Microsoft's host parts as one program, and the Python that its worker runs in."""

    program: Path
    python: Path

    def command(self, app: Path, port: int) -> list[str]:
        """Serve ``app`` on ``port``."""
        worker = Path(__file__).with_name("worker.py")
        return [
            str(self.program),
            *("--app", str(app)),
            *("--port", str(port)),
            *("--python", str(self.python)),
            *("--worker", str(worker)),
            *("--log", "Warning"),
        ]


@dataclass
class Site:
    """The running pieces. ``host`` is None on the local host; ``jobs`` are the ids of all jobs started."""

    stack: Stack
    gateway: GpuGateway
    storage: Storage
    database: Database
    requests: RequestsLog
    azurite: Azurite
    app: Path
    host: FunctionsHost | None
    jobs: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def target(self) -> Target:
        """For the audit of ``drills.load``."""
        return Target(self.stack.client, self.stack.bill_client, self.stack)

    def functions(self) -> int | None:
        """How many functions the worker has loaded; None on the local host, which does not say so."""
        found = _READY.findall(self.stack.host.log.read_text(errors="replace"))
        return int(found[-1]) if found else None

    def restart_host(self, **environment: str) -> None:
        """Start it again with its first settings and these."""
        self.stack.host.restart(**environment)
        self.wait_until_it_answers()

    def set_function_timeout(self, limit: str | None) -> None:
        """The next start of the host has this ``functionTimeout``; None: that of the product."""
        settings = json.loads((ROOT / "host.json").read_text())
        if limit is not None:
            settings["functionTimeout"] = limit
        (self.app / "host.json").write_text(json.dumps(settings))

    def kill_host(self) -> None:
        """kill -9 of the host with its worker, and up again."""
        self.stack.host.stop(signal.SIGKILL)
        self.stack.host.start()
        self.stack.host.wait_ready()
        self.wait_until_it_answers()

    def kill_worker(self) -> None:
        """kill -9 of the worker alone; the host starts another one."""
        process = self.stack.host.process
        assert process is not None
        workers = [
            each for each in psutil.Process(process.pid).children() if "worker.py" in str(each.cmdline())
        ]
        assert workers, "the host has no worker"
        for worker in workers:
            worker.kill()
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Wait until the app itself responds. Raises ``TimeoutError``."""
        until = time.monotonic() + _ANSWERS_LIMIT_S
        while time.monotonic() < until:
            try:
                if self.stack.client.get("/api/v1/me", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_LOOK_EVERY_S)
        raise TimeoutError(f"the app does not respond:\n{self.stack.host.log.read_text()[-4000:]}")

    def submit(self, **fields: str) -> str:
        """A job of a photo that no other job has."""
        job_id = self.stack.submit(photo(next(self._numbers)), **fields)
        self.jobs.append(job_id)
        return job_id

    def upload(self) -> BlobRef:
        """A new blob in ``uploads``, of a photo that no other has."""
        number = next(self._numbers)
        ref = BlobRef(container=UPLOADS, name=f"drill-{number}.jpg")
        return self.storage.write(ref, photo(number), "image/jpeg")

    def job_of(self, blob: BlobRef) -> str:
        """The id of the job that the event of ``blob`` starts."""
        job_id = upload_job_id(blob, JobOptions())
        self.jobs.append(job_id)
        return job_id

    def status(self, job_id: str) -> dict[str, Any] | None:
        """The job's state; None while nobody responds, or knows the job."""
        try:
            answer = self.stack.client.get(f"/api/v1/status/{job_id}")
            status: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        except _TRANSPORT:
            return None
        return status

    def wait_for_end(self, job_ids: list[str], limit_s: float) -> dict[str, dict[str, Any]]:
        """The last status of each job once all have ended, or the time is over."""
        ended: dict[str, dict[str, Any]] = {}
        last: dict[str, dict[str, Any]] = {}
        until = time.monotonic() + limit_s
        while time.monotonic() < until and len(ended) < len(job_ids):
            for job_id in [each for each in job_ids if each not in ended]:
                status = self.status(job_id)
                if status is not None:
                    last[job_id] = status
                    if JobState(status["state"]) in TERMINAL_STATES:
                        ended[job_id] = status
            time.sleep(_LOOK_EVERY_S)
        return last


@contextmanager
def running(host: FunctionsHost | None) -> Iterator[Site]:
    """Everything started, with the app on ``host``, or on the local host if it is None.

    Nothing is left running behind the block.
    """
    folder = CACHE / "last"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "azurite").mkdir(parents=True)
    mark = f"{os.getpid()}-{time.time_ns()}"
    # inherited by everything that is started from here on
    os.environ[_MARK] = mark
    with ExitStack() as ending:
        ending.callback(_end_what_is_left, mark)
        yield _start(folder, host, ending)


def _start(folder: Path, host: FunctionsHost | None, ending: ExitStack) -> Site:
    azurite = start_azurite(folder / "azurite", logs_requests=True)
    ending.callback(azurite.stop)
    gpu_port = free_port()
    gateway = GpuGateway(f"http://127.0.0.1:{gpu_port}")
    server = Server(gateway.app())
    # it is stopped by force, which it would complain about
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    ending.callback(server.stop)
    environment = {
        **_HOST,
        "AzureWebJobsStorage": azurite.connection_string,
        "GPU_SERVICE_URL": server.url,
        # where the host's program unpacks itself
        "DOTNET_BUNDLE_EXTRACT_BASE_DIR": str(CACHE / "net"),
    }
    if is_installed():
        postgres = start_postgres()
        ending.callback(postgres.close)
        environment["DATABASE_URL"] = postgres.url
    stack = Stack(folder, environment, gpu_port=gpu_port)
    ending.callback(stack.stop)
    app = _app(folder)
    if host is None:
        stack.host.command += ["--app-dir", str(app)]
    else:
        stack.host.command = host.command(app, stack.port)
    engine = make_engine(stack.database_url)
    upgrade(engine)
    ending.callback(engine.dispose)
    storage = make_storage(read(Settings, environment))
    storage.ensure_containers(UPLOADS, JOBS)
    requests = RequestsLog(azurite.log)
    site = Site(stack, gateway, storage, Database(engine), requests, azurite, app, host)
    site.set_function_timeout(None)
    stack.start()
    site.wait_until_it_answers()
    return site


def _app(folder: Path) -> Path:
    """The app's folder as it is deployed, with a host.json of its own."""
    app = folder / "app"
    app.mkdir()
    for name in _APP:
        (app / name).symlink_to(ROOT / name)
    return app


def _end_what_is_left(mark: str) -> None:
    """End each process that was started here and that nobody has ended. It is told on stderr."""
    del os.environ[_MARK]
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark:
                sys.stderr.write(f"ended at last: {process.pid} {' '.join(process.cmdline())[:200]}\n")
                process.kill()
        except psutil.Error:
            continue
