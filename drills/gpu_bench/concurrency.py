"""Many small jobs at once against the same jobs one after another, through the service's HTTP door."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import httpx
import uvicorn

from drills.gpu_bench.pictures import encoded, half_transparent, photo
from gpu_container.server import create_app
from gpu_container.settings import GpuSettings
from imagery.contracts import JOBS, BlobRef
from imagery.storage import LocalStorage

_SIDE = 256
_READY_S = 120.0
_MOST_JOBS = 256


@dataclass(frozen=True)
class Concurrency:
    """``slowest_over_median``: of the latencies at once. ``cores_in_turn``: cores busy while in turn.

    Where the jobs in turn keep every core busy already, no scheduling can make them faster at once.
    """

    jobs: int
    in_turn_s: float
    at_once_s: float
    slowest_over_median: float
    cores_in_turn: float

    @property
    def ratio(self) -> float:
        """Above 1: at once is faster."""
        return self.in_turn_s / self.at_once_s


class DistantStorage(LocalStorage):
    """Files that are ``distance_s`` away, as blobs on another machine are: no processor time passes."""

    def __init__(self, root: Path, distance_s: float) -> None:
        super().__init__(root)
        self._distance_s = distance_s

    def read_start(self, ref: BlobRef, length: int) -> bytes:
        """See ``Storage``."""
        time.sleep(self._distance_s)
        return super().read_start(ref, length)

    def read(self, ref: BlobRef, max_bytes: int | None = None) -> bytes:
        """See ``Storage``. Two requests on Azure: properties, content."""
        time.sleep(2 * self._distance_s)
        return super().read(ref, max_bytes)

    def write(
        self, ref: BlobRef, data: bytes | BinaryIO, content_type: str, *, overwrite: bool = True
    ) -> BlobRef:
        """See ``Storage``."""
        time.sleep(self._distance_s)
        return super().write(ref, data, content_type, overwrite=overwrite)


class Service:
    """The service on a free port of this machine, blobs in a folder, near or ``distance_s`` away."""

    def __init__(self, settings: GpuSettings, folder: Path, distance_s: float = 0.0) -> None:
        self.storage = DistantStorage(folder, distance_s) if distance_s else LocalStorage(folder)
        config = uvicorn.Config(create_app(settings, self.storage), port=0, log_config=None)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + _READY_S
        while not self._server.started and time.monotonic() < until:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        limits = httpx.Limits(max_connections=_MOST_JOBS)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_READY_S, limits=limits)
        while self.client.get("/readyz").status_code != httpx.codes.OK and time.monotonic() < until:
            time.sleep(0.05)

    def call(self, stage: str, source: str, target: str) -> None:
        """One stage of one job."""
        body = {
            "job_id": target.split("/", maxsplit=1)[0],
            "source": {"container": JOBS, "name": source},
            "target": {"container": JOBS, "name": target},
        }
        self.client.post(f"/v1/{stage}", json=body).raise_for_status()

    def stop(self) -> None:
        """End the service."""
        self._server.should_exit = True
        self._thread.join(30)
        self.client.close()


def measure(
    settings: GpuSettings, jobs: int, rounds: int, kinds: list[str], distance_s: float = 0.0
) -> dict[str, Concurrency]:
    """Medians of ``rounds``, for each of ``kinds`` of job."""
    with TemporaryDirectory() as folder:
        service = Service(settings, Path(folder), distance_s)
        try:
            for name, picture in (("photo", photo(_SIDE, _SIDE)), ("cutout", half_transparent(_SIDE, _SIDE))):
                service.storage.write(BlobRef(container=JOBS, name=name), encoded(picture), "image/png")
            return {name: _measure(service, KINDS[name], jobs, rounds) for name in kinds}
        finally:
            service.stop()


def _upscale_photo(service: Service, job: str) -> None:
    service.call("upscale", "photo", f"{job}/out.png")


def _upscale_cutout(service: Service, job: str) -> None:
    service.call("upscale", "cutout", f"{job}/out.png")


def _whole_pipeline(service: Service, job: str) -> None:
    service.call("remove-background", "photo", f"{job}/1.png")
    service.call("upscale", f"{job}/1.png", f"{job}/2.png")


KINDS: dict[str, Callable[[Service, str], None]] = {
    "photo": _upscale_photo,
    "cutout": _upscale_cutout,
    "pipeline": _whole_pipeline,
}


def _measure(service: Service, work: Callable[[Service, str], None], jobs: int, rounds: int) -> Concurrency:
    latencies: list[float] = []

    def one(number: int) -> float:
        started = time.perf_counter()
        work(service, f"{time.monotonic_ns()}-{number}")
        return time.perf_counter() - started

    in_turn, at_once, unevenness, cores = [], [], [], []
    one(0)
    for _ in range(rounds):
        started, busy = time.perf_counter(), time.process_time()
        for number in range(jobs):
            one(number)
        in_turn.append(time.perf_counter() - started)
        cores.append((time.process_time() - busy) / in_turn[-1])
        started = time.perf_counter()
        with ThreadPoolExecutor(jobs) as pool:
            latencies = list(pool.map(one, range(jobs)))
        at_once.append(time.perf_counter() - started)
        unevenness.append(max(latencies) / statistics.median(latencies))
    return Concurrency(
        jobs,
        statistics.median(in_turn),
        statistics.median(at_once),
        statistics.median(unevenness),
        statistics.median(cores),
    )
