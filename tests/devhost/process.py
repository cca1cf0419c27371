"""The host in a process of its own, with the sample app."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from testbed.clients import local_client
from testbed.ports import free_port

SAMPLE = Path(__file__).parent / "sample_app"
ROOT = Path(__file__).parent.parent.parent
MANAGEMENT = "/runtime/webhooks/durabletask"
MAX_BODY = 100_000
SETTINGS = {"SAMPLE_SCHEDULE": "*/1 * * * * *", "FROM_FILE": "file", "FROM_BOTH": "file"}
ENDED = {"Completed", "Failed", "Terminated"}


class HostProcess:
    """The host, its folder (app, state, store, log) and a client of it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.app = folder / "app"
        self.state = folder / "state"
        self.store = folder / "store"
        self.port = free_port()
        self.notes = folder / "notes.jsonl"
        self.log = folder / "host.log"
        self.notes.touch()
        shutil.copytree(SAMPLE, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        (self.app / "local.settings.json").write_text(json.dumps({"Values": SETTINGS}))
        self.environment = {
            **os.environ,
            "NOTES": str(self.notes),
            "FROM_BOTH": "environment",
            "AzureWebJobsStorage": "",
            "LOCAL_STORAGE_PATH": str(self.store),
            "HOST_BLOB_POLL_S": "0.1",
            "HOST_MAX_BODY_BYTES": str(MAX_BODY),
            **environment,
        }
        self.client = local_client(self.port, timeout_s=20)
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *more: str) -> list[str]:
        command = [sys.executable, "-m", "devhost", "--port", str(self.port)]
        return [*command, "--app-dir", str(self.app), "--state-dir", str(self.state), *more]

    def launch(self, *more: str) -> None:
        """Start it without waiting until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*more), env=self.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )

    def start(self, *more: str) -> None:
        self.launch(*more)
        assert self.process is not None
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.client.get("/bytes")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(10)

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def refusal(self, *more: str) -> tuple[int, list[str]]:
        """Exit code and error lines of a start that is not to succeed."""
        done = subprocess.run(
            self.command(*more),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stderr.splitlines()

    def run(self, name: str, given: Any = None, limit_s: float = 20) -> dict[str, Any]:
        """Start an orchestration and wait for its end."""
        return self.wait(self.begin(name, given), limit_s)

    def begin(self, name: str, given: Any = None, instance_id: str | None = None) -> str:
        answer = self.client.post(
            f"/start/{name}", json=given, params={"id": instance_id or uuid.uuid4().hex}
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def status(self, instance_id: str) -> dict[str, Any] | None:
        status: dict[str, Any] | None = self.client.post(f"/client/status/{instance_id}").json()
        return status

    def wait(self, instance_id: str, limit_s: float = 20) -> dict[str, Any]:
        until = time.monotonic() + limit_s
        status = None
        while time.monotonic() < until:
            status = self.status(instance_id)
            if status and status["runtimeStatus"] in ENDED:
                return status
            time.sleep(0.02)
        raise AssertionError(f"{status}\n{self.log.read_text()[-3000:]}")

    def noted(self, kind: str, **values: Any) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return [line for line in lines if line["kind"] == kind and values.items() <= line.items()]

    def wait_noted(
        self, kind: str, count: int = 1, limit_s: float = 10, **values: Any
    ) -> list[dict[str, Any]]:
        until = time.monotonic() + limit_s
        while len(self.noted(kind, **values)) < count and time.monotonic() < until:
            time.sleep(0.05)
        found = self.noted(kind, **values)
        assert len(found) >= count, self.log.read_text()[-3000:]
        return found

    def wait_logged(self, text: str, limit_s: float = 10) -> str:
        until = time.monotonic() + limit_s
        while text not in self.log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        log = self.log.read_text()
        assert text in log, log[-3000:]
        return log

    def put(self, container: str, name: str, data: bytes) -> None:
        """A file in the folder store, complete at once."""
        path = self.store / container / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(data)
        hidden.replace(path)
