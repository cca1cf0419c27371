"""A device that fails: what ``/healthz`` says, what becomes of jobs, and how the process ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from fastapi.testclient import TestClient

from gpu_container import device_watch
from gpu_container import worker as worker_module
from gpu_container.device_watch import DeviceWatch, limit_s
from gpu_container.errors import ModelUnavailableError, StageError
from gpu_container.lane import JobLane
from gpu_container.models import UPSCALE_MODELS
from gpu_container.server import create_app
from gpu_container.settings import GpuSettings, MemoryWords, Precision
from gpu_container.torch_engine import HostPlatform, TorchEngine, held_by_graphs
from gpu_container.upscaler import Upscaler
from gpu_container.worker import GpuWorker
from imagery.contracts import JOBS, BlobRef
from imagery.storage import LocalStorage
from testbed.clients import local_client
from testbed.ports import free_port
from tests.gpu_container.faulty_service import Network
from tests.gpu_container.test_server import png

ROOT = Path(__file__).parent.parent.parent
SIDE = 128
FOREVER = float("inf")
ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


@dataclass
class Faults:
    """What is wrong with the device. ``most``: pixels of a batch above which memory runs out."""

    error: Exception | None = None
    is_sticky: bool = False
    most: int = 10**9
    hangs: bool = False
    freed: threading.Event = field(default_factory=threading.Event)
    asked: list[int] = field(default_factory=list)

    def meet(self, pixels: int) -> None:
        """A batch comes to the device."""
        self.asked.append(pixels)
        if self.hangs:
            self.freed.wait(60)
        if self.error is not None and pixels > self.most:
            raise self.error

    def probe(self) -> None:
        """The device is looked at."""
        if self.is_sticky and self.error is not None:
            raise self.error


@pytest.fixture
def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[TestClient, LocalStorage, Faults]:
    faults = Faults()

    def load(worker: GpuWorker) -> None:
        engine = TorchEngine(Network(faults.meet), HostPlatform(), precision=Precision.AUTO, tile_step=8)
        worker._loaded.upscaler = Upscaler(
            UPSCALE_MODELS["realesr-animevideov3"], engine, worker.scheduler, worker.settings
        )
        # an estimate, so that ten times as long is known
        worker.scheduler.learn(0.001, SIDE**2)

    monkeypatch.setattr(GpuWorker, "_load_upscaler", load)
    monkeypatch.setattr(GpuWorker, "_load_background", lambda _: None)
    monkeypatch.setattr(worker_module, "probe_of", lambda _: faults.probe)
    monkeypatch.setattr(device_watch, "LOOK_S", 0.02)
    storage = LocalStorage(tmp_path)
    storage.write(BlobRef(container=JOBS, name="in.png"), png((200, 200)), "image/png")
    client = TestClient(create_app(GpuSettings(memory=MemoryWords(tile=SIDE)), storage))
    client.__enter__()
    request.addfinalizer(lambda: client.__exit__(None, None, None))
    request.addfinalizer(faults.freed.set)
    until = time.monotonic() + 30
    while client.get("/readyz").status_code != 200 and time.monotonic() < until:
        time.sleep(0.01)
    return client, storage, faults


def upscale(client: Any) -> Any:
    body = {
        "job_id": "j",
        "source": {"container": JOBS, "name": "in.png"},
        "target": {"container": JOBS, "name": "out.png"},
    }
    return client.post("/v1/upscale", json=body)


def broken(faults: Faults) -> None:
    faults.error, faults.is_sticky, faults.most = ILLEGAL, True, 0


def hung(faults: Faults) -> None:
    faults.hangs = True


def odd(faults: Faults) -> None:
    faults.error, faults.most = RuntimeError("this picture only"), 0


@pytest.mark.parametrize(
    ("fault", "health", "job"),
    [
        (broken, (503, {"FAILED"}), (503, "gpu_stopping")),
        (hung, (503, {"FAILED"}), (503, "gpu_stopping")),
        (odd, (200, {"READY", "BUSY"}), (500, "gpu_failed")),
    ],
)
def test_a_lost_device_is_told_from_a_picture_that_fails(
    service: tuple[TestClient, LocalStorage, Faults],
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Faults], None],
    health: tuple[int, set[str]],
    job: tuple[int, str],
) -> None:
    client, _, faults = service
    monkeypatch.setattr(device_watch, "LEAST_LIMIT_S", 0.2)
    fault(faults)
    answer = upscale(client)
    assert (answer.status_code, answer.json()["code"]) == job
    told = client.get("/healthz")
    assert told.status_code == health[0]
    assert told.json()["state"] in health[1]
    assert f"gpu_device_lost {float(health[0] == 503)}" in client.get("/metrics").text
    ready = client.get("/readyz").status_code
    assert ready == health[0]
    if ready == 503:
        assert float(answer.headers["Retry-After"]) > 0, "the job waits and comes again"
        assert told.json()["stopping"]
        assert set(told.json()["models"].values()) != {"ok"}, "why"
        again = upscale(client)
        assert (again.status_code, again.json()["code"]) == (503, "gpu_stopping")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error (cudaHostAlloc): out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError(
            "bfc_arena.cc:376 onnxruntime::BFCArena::AllocateRawInternal Failed to allocate memory for "
            "requested buffer of size 939524096"
        ),
        RuntimeError("BFCArena: Available memory of 100 is smaller than requested bytes of 200"),
        RuntimeError("CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        MemoryError(),
    ],
    ids=lambda error: f"{type(error).__name__}:{str(error)[:40]}",
)
def test_memory_that_runs_out_under_any_name_halves_the_batch(
    service: tuple[TestClient, LocalStorage, Faults], error: Exception
) -> None:
    client, storage, faults = service
    faults.error, faults.most = error, SIDE * SIDE
    answer = upscale(client)
    assert answer.status_code == 200, answer.text
    assert storage.exists(BlobRef(container=JOBS, name="out.png"))
    assert max(faults.asked) > faults.most, "it did run out"
    assert client.get("/readyz").status_code == 200
    counted = client.get("/metrics").text
    assert (
        f"gpu_out_of_memory_total {float(len([each for each in faults.asked if each > faults.most]))}"
        in counted
    )


@pytest.mark.parametrize(
    ("errors", "is_sticky", "code"),
    [
        (["out of memory"], False, None),
        (["out of memory", "Failed to allocate memory"], False, "gpu_out_of_memory"),
        (["CUDA failure 700: an illegal memory access"], True, "gpu_stopping"),
        (["out of memory", "CUDA failure 700: an illegal memory access"], True, "gpu_stopping"),
    ],
)
def test_a_cut_out_is_tried_once_more_with_all_memory(
    service: tuple[TestClient, LocalStorage, Faults], errors: list[str], is_sticky: bool, code: str | None
) -> None:
    client, _, faults = service
    faults.error, faults.is_sticky = ILLEGAL, is_sticky

    def run() -> str:
        if errors:
            raise RuntimeError(errors.pop(0))
        return "done"

    worker: GpuWorker = client.app.state.worker  # type: ignore[attr-defined]
    if code is None:
        assert worker.scheduler.call(run, JobLane(FOREVER)) == "done"
        return
    with pytest.raises(StageError) as raised:
        worker.scheduler.call(run, JobLane(FOREVER))
    assert raised.value.code == code
    assert client.get("/healthz").status_code == (503 if is_sticky else 200)


def test_a_device_that_is_lost_while_models_load_ends_the_service_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(_: GpuWorker) -> None:
        raise ILLEGAL

    def lost() -> None:
        raise ILLEGAL

    monkeypatch.setattr(GpuWorker, "_load_background", load)
    monkeypatch.setattr(worker_module, "probe_of", lambda _: lost)
    worker = GpuWorker(GpuSettings())
    ended = threading.Event()
    worker.watch.on_lost(ended.set)
    worker.start()
    assert ended.wait(30)
    worker.stop(10)
    assert worker.state == "FAILED"
    with pytest.raises(ModelUnavailableError):
        _ = worker.upscaler


def test_a_step_is_given_ten_times_its_time_and_a_frozen_process_no_blame() -> None:
    assert limit_s(0) > limit_s(0.001) == 60
    assert limit_s(30) == 300
    watch = DeviceWatch()
    watch.passed(10_000)
    with watch.step(30):
        watch.passed(299)
        assert watch.lost is None
        with watch.step(0.001):
            watch.passed(59)
        watch.passed(1)
        assert "hangs" in (watch.lost or "")
    late = threading.Event()
    watch.on_lost(late.set)
    assert late.is_set(), "who comes too late hears it at once"


def test_memory_of_recorded_graphs_is_not_free() -> None:
    segments = [
        {"segment_pool_id": (0, 0), "total_size": 100, "allocated_size": 10},
        {"segment_pool_id": (0, 1), "total_size": 80, "allocated_size": 30},
        {"segment_pool_id": (0, 1), "total_size": 20, "allocated_size": 0},
    ]
    assert held_by_graphs(segments) == 70


@pytest.mark.stack
def test_the_process_ends_and_the_next_one_goes_on_with_the_tiles(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    storage.write(BlobRef(container=JOBS, name="in.png"), png((200, 1500)), "image/png")
    faults = tmp_path / "faults"
    faults.write_text("sticky hang")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.gpu_container.faulty_service",
        str(tmp_path),
        str(port),
    ]
    client = local_client(port, timeout_s=60)
    codes: list[int] = []
    answers: list[Any] = []
    until = time.monotonic() + 120
    with (tmp_path / "log").open("wb") as log:
        while len(codes) < 3 and time.monotonic() < until:
            # the platform starts what has ended
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            try:
                while process.poll() is None and time.monotonic() < until:
                    try:
                        answers.append(upscale(client))
                        if answers[-1].status_code == 200:
                            process.terminate()
                            process.wait(30)
                    except httpx.TransportError:
                        time.sleep(0.05)
            finally:
                process.kill()
                codes.append(process.wait(10))
    said = (tmp_path / "log").read_text()
    assert codes[:2] == [1, 1], said
    assert faults.read_text() == ""
    assert {answer.json()["code"] for answer in answers[:-1]} <= {"gpu_starting", "gpu_stopping"}
    assert answers[-1].status_code == 200, said
    report = answers[-1].json()
    assert report["resumed_tiles"] > 0, "tiles that were finished are not computed again"
    assert (report["width"], report["height"]) == (800, 6000)
    assert said.count("device_lost") == 2
