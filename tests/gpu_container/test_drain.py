"""SIGTERM to the real process: what can finish does, what can't is handed back, in time."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from imagery.contracts import JOBS, BlobRef
from imagery.storage import LocalStorage
from testbed.clients import local_client
from testbed.ports import free_port

pytestmark = pytest.mark.stack

DRAIN_S = 4.0
# the server ends itself with the signal it was sent, once it has drained
ENDED = {0, -signal.SIGTERM}


class Process:
    """``python -m gpu_container`` with a folder as its store."""

    def __init__(self, cache: Path, folder: Path, **settings: str) -> None:
        self.storage = LocalStorage(folder / "store")
        port = free_port()
        environment = {
            **os.environ,
            "LOCAL_STORAGE_PATH": str(folder / "store"),
            "ENV": "DEV",
            "GPU_MODEL_CACHE": str(cache),
            "GPU_PORT": str(port),
            "GPU_DRAIN_S": str(DRAIN_S),
            # ready four seconds earlier; both are stopped in the same place
            "GPU_NETWORKS": "runtime=torch",
            **settings,
        }
        environment.pop("AzureWebJobsStorage", None)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpu_container"], env=environment, stdout=log, stderr=log
            )
        self.client = local_client(port, timeout_s=120)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def upscale(self, side: int) -> tuple[threading.Thread, list[httpx.Response]]:
        """Begin to upscale a picture; the answer appears in the list."""
        buffer = io.BytesIO()
        Image.effect_noise((side, side), 80).convert("RGB").save(buffer, "PNG")
        self.storage.write(BlobRef(container=JOBS, name="in"), buffer.getvalue(), "image/png")
        answers: list[httpx.Response] = []
        body = {
            "job_id": "j",
            "source": {"container": JOBS, "name": "in"},
            "target": {"container": JOBS, "name": "out"},
        }
        thread = threading.Thread(target=lambda: answers.append(self.client.post("/v1/upscale", json=body)))
        thread.start()
        until = time.monotonic() + 20
        while self.client.get("/healthz").json()["state"] != "BUSY" and time.monotonic() < until:
            time.sleep(0.02)
        return thread, answers

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture
def started(cache: Path, tmp_path: Path) -> Iterator[Process]:
    process = Process(cache, tmp_path)
    yield process
    process.end()


@pytest.fixture
def patient(cache: Path, tmp_path: Path) -> Iterator[Process]:
    """One that waits long enough for a slow machine."""
    process = Process(cache, tmp_path, GPU_DRAIN_S="90")
    yield process
    process.end()


def test_what_can_finish_finishes_before_the_process_ends(patient: Process) -> None:
    thread, answers = patient.upscale(300)
    patient.process.send_signal(signal.SIGTERM)
    thread.join(100)
    assert answers[0].status_code == 200, patient.log.read_text()
    assert patient.storage.exists(BlobRef(container=JOBS, name="out"))
    assert patient.process.wait(10) in ENDED


def test_what_can_not_finish_is_handed_back_in_time(started: Process) -> None:
    thread, answers = started.upscale(2500)
    began = time.monotonic()
    started.process.send_signal(signal.SIGTERM)
    thread.join(30)
    assert started.process.wait(20) in ENDED
    assert time.monotonic() - began < DRAIN_S + 25
    assert answers[0].status_code == 503, started.log.read_text()
    assert answers[0].json()["code"] == "gpu_stopping"
    assert float(answers[0].headers["Retry-After"]) > 0
    assert not started.storage.exists(BlobRef(container=JOBS, name="out"))
