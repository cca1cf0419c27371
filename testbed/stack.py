"""The pieces of the system as real processes on free ports: GPU service, simulator, host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from imagery.contracts import TERMINAL_STATES, JobState
from imagery.database.engine import Database, make_engine
from imagery.database.migrate import upgrade
from imagery.database.users import Users
from imagery.principal import Role
from imagery.settings import layered
from testbed.clients import local_client
from testbed.ports import free_port
from testbed.supervised import keep, release

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "local/samples/coffee.jpg"
SIGNING_KEY = "a signing key of the tests, long enough"
_START_LIMIT_S = 120.0


@dataclass
class Piece:
    """One process, its log, and how to start it again."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    ready_url: str
    process: subprocess.Popen[bytes] | None = None
    running_with: dict[str, str] = field(default_factory=dict)

    mark = "stack"

    def __post_init__(self) -> None:
        self._first = dict(self.environment)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        keep(self)
        self.running_with = dict(self.environment)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        until = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                if httpx.get(self.ready_url, timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise RuntimeError(f"{self.name} did not become ready:\n{self.log.read_text()[-4000:]}")

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        self.start()
        self.wait_ready()

    def restart(self, **more: str) -> None:
        """Start it, ended or not, with the settings that it had at first and these."""
        self.stop()
        self.environment = {**self._first, **more}
        self.revive()

    def put_back(self) -> None:
        """As it was started first, whatever a test did to it."""
        if not self.is_alive() or self.running_with != self._first:
            self.restart()

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        release(self)
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal_number)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)


@dataclass
class Stack:
    """The running pieces; ``environment`` is what the host runs with."""

    folder: Path
    environment: dict[str, str]
    gpu_port: int = field(default_factory=free_port)
    simulator_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        base = {**os.environ, "PYTHONUNBUFFERED": "1"}
        common = {**base, **self.environment}
        settings = {
            "AzureWebJobsDisableHomepage": "true",
            "PYTHON_THREADPOOL_THREAD_COUNT": "32",
            "DATABASE_URL": f"sqlite:///{self.folder / 'imagery.db'}",
            "GPU_SERVICE_URL": f"http://127.0.0.1:{self.gpu_port}",
            "GPU_RETRY": "first_s=0.2 cap_s=2 attempts=4",
            "GPU_START": "first_s=0.3 cap_s=1",
            "CIRCUIT": "open_s=1 cap_s=2 read_s=0.2",
            # the tests send the same photo over and over, and each one wants it computed
            "STAGE_CACHE": "off",
            "BUDGET_USD_PER_DAY": "100000",
            "NANO_BANANA_BASE_URL": f"http://127.0.0.1:{self.simulator_port}",
            "NANO_BANANA_API_KEY": "simulator",
            "NANO_BANANA_RETRY": "first_s=0.5 timeout_s=5",
            "RECONCILE_SCHEDULE": "*/2 * * * * *",
            "RECONCILE": "grace_s=3",
            "RETENTION_SCHEDULE": "*/2 * * * * *",
            "QUOTA": "jobs_per_minute=100000 usd_per_day=100000",
            "WEBHOOK_SIGNING_KEY": SIGNING_KEY,
            "CALLBACK_RETRY": "first_s=0.5 timeout_s=10",
            "LONG_POLL": "logs_s=2",
        }
        state = ["--state-dir", str(self.folder / "host")]
        # torch is ready four seconds earlier; the stack of PROD has what the service chooses by itself
        quick = {"GPU_NETWORKS": "runtime=torch"} if common.get("ENV") == "DEV" else {}
        self.gpu = self._piece(
            "gpu", ["-m", "gpu_container"], self.gpu_port, "/readyz", {**common, **quick, "GPU_DEVICE": "cpu"}
        )
        self.simulator = self._piece(
            "simulator",
            ["-m", "local.nano_banana_simulator", "--latency-s", "0.1"],
            self.simulator_port,
            "/healthz",
            common,
        )
        # settings of a test's own win over the defaults above
        environment = layered(base, settings, self.environment)
        self.host = self._piece("host", ["-m", "devhost", *state], self.port, "/healthz", environment)
        self.database_url = environment["DATABASE_URL"]
        self.client = local_client(self.port)
        self.bill_client = local_client(self.simulator_port, timeout_s=10)

    def _piece(
        self, name: str, module: list[str], port: int, ready: str, environment: dict[str, str]
    ) -> Piece:
        command = [sys.executable, *module, "--port", str(port)]
        return Piece(name, command, environment, self.folder, f"http://127.0.0.1:{port}{ready}")

    def users(self) -> Users:
        """The users of the running stack's database, which is brought up to date."""
        engine = make_engine(self.database_url)
        upgrade(engine)
        return Users(Database(engine))

    def client_of(self, key: str | None) -> httpx.Client:
        """A client with another key, or none."""
        headers = {"X-API-Key": key} if key else {}
        return local_client(self.port, headers=headers)

    def start(self) -> None:
        self._start(self.gpu, self.simulator, self.host)

    def start_host(self) -> None:
        """The host alone: jobs would wait, the guardrail does not."""
        self._start(self.host)

    def _start(self, *pieces: Piece) -> None:
        _, key = self.users().create("tests", Role.ADMIN)
        self.client.headers["X-API-Key"] = key
        for piece in pieces:
            piece.start()
        for piece in pieces:
            piece.wait_ready()

    def stop(self) -> None:
        for piece in (self.host, self.simulator, self.gpu):
            piece.stop()

    def put_back(self) -> None:
        """No faults pending, and all pieces running with their first settings."""
        for piece in (self.gpu, self.simulator, self.host):
            piece.put_back()
        self.bill_client.delete("/_simulator/faults")

    def submit(self, data: bytes, *, key: str | None = None, **fields: str) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.client.post(
            "/api/v1/process", files={"file": ("photo.jpg", data, "image/jpeg")}, data=fields, headers=headers
        )
        assert answer.status_code in {200, 202}, answer.text
        return str(answer.json()["job_id"])

    def status(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        answer = self.client.get(f"/api/v1/status/{job_id}", params={"wait": wait})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def wait_for_end(self, job_id: str, limit_s: float = 120) -> dict[str, Any]:
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            status = self.status(job_id, wait=5)
            if JobState(status["state"]) in TERMINAL_STATES:
                return status
        raise AssertionError(f"the job did not end: {status}\n{self.host.log.read_text()[-6000:]}")

    def bill(self, job_id: str) -> dict[str, Any]:
        by_job = self.bill_client.get("/_simulator/bill").json()["by_job"]
        bill: dict[str, Any] = by_job.get(job_id, {"calls": 0, "billed": 0, "usd": 0.0, "at": []})
        return bill

    def faults(self, *names: str, **more: Any) -> None:
        answer = self.bill_client.post("/_simulator/faults", json={"next": list(names), **more})
        assert answer.status_code == 200, answer.text
