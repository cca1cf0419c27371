"""``make drill NAME=gpu-burst``: large photos at once, then another user's small one; the last line is JSON.

With ``--mixed`` 64 photos of 0.3 to 12 megapixels come at once; with ``--kills N`` the GPU service is killed
N times (kill -9) and started again. It exits with 1 if a job did not complete, if a tile was computed twice
though nothing was killed, or if the service's memory stays above 1.5 times what it began with.
``threads_held``: most calls of the GPU service that were open at once; each holds a thread of the app.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from drills.faults.gateway import Gateway
from drills.gpu_bench.pictures import photo
from imagery.contracts import TERMINAL_STATES, JobState
from imagery.principal import Role
from testbed.clients import local_client
from testbed.ports import free_port
from testbed.servers import Server
from testbed.stack import Stack

_STEP_S = 0.5
_IDLE_S = 25.0
_MOST_KEPT = 1.5
_SENDERS, _SUBMISSIONS = 8, 60
_MEGA = 1e6
# photos of so many megapixels, the large ones among the small ones
_MIXED = [0.3, 1.0, 0.3, 6.0, 0.3, 2.0, 0.3, 12.0] * 4 + [0.3, 3.0, 0.3, 6.0, 0.3, 0.3, 0.3, 0.3] * 4


class CountingGateway(Gateway):
    """Counts the calls for work that are open, and the tiles of what they bring."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._counting = threading.Lock()
        self.open = self.most_open = self.calls = self.tiles = 0
        self.held_s = 0.0

    async def forward(self, request: Request) -> Response:
        """Forward it, and count."""
        if request.method != "POST":
            return await super().forward(request)
        began = time.monotonic()
        with self._counting:
            self.calls += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            answer = await super().forward(request)
        finally:
            with self._counting:
                self.open -= 1
                self.held_s += time.monotonic() - began
        if answer.status_code == 200:
            report = json.loads(bytes(answer.body))
            with self._counting:
                self.tiles += 0 if report["reused"] else report["tiles"] + report.get("resumed_tiles", 0)
        return answer


class Memory:
    """The resident memory of a process, GB, looked at until ``stop``."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._stopped = threading.Event()
        self.before_gb = self.peak_gb = self.now_gb()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now_gb(self) -> float:
        """Now."""
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024 / 1e9

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(_STEP_S) and self._status.exists():
            self.peak_gb = max(self.peak_gb, self.now_gb())


def photograph(megapixels: float, seed: int) -> bytes:
    """A photograph of 4:3 with the grain of a camera, as JPEG."""
    height = round((megapixels * _MEGA * 3 / 4) ** 0.5)
    pixels = np.asarray(photo(round(height * 4 / 3), height)).astype(np.int16)
    grain = np.random.default_rng(seed).integers(-12, 13, pixels.shape, np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Killer:
    """Kills the GPU service whenever a further part of the jobs has ended, and starts it again."""

    def __init__(self, stack: Stack, burst: Burst, kills: int, jobs: int) -> None:
        self._stack, self._burst = stack, burst
        self._at = [jobs * number // (kills + 1) for number in range(1, kills + 1)]
        self._stopped = threading.Event()
        # of the processes that were killed, as they said shortly before
        self.tiles = self.killed = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Kill no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._at and not self._stopped.wait(_STEP_S):
            if len(self._burst.ended) < self._at[0]:
                continue
            self._at.pop(0)
            self.tiles += _tiles(self._stack.gpu_port)
            self._stack.gpu.stop(signal.SIGKILL)
            self._stack.gpu.revive()
            self.killed += 1


class Burst:
    """The jobs of two users on one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        _, self._other = stack.users().create("other", Role.USER)
        self.sent: dict[str, float] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.took_s: dict[str, float] = {}

    def send(self, data: bytes, *, other: bool = False) -> str:
        """Submit a photo; its job's id."""
        key = self._other if other else str(self._stack.client.headers["X-API-Key"])
        with self._stack.client_of(key) as client:
            for _ in range(_SUBMISSIONS):
                answer = client.post("/api/v1/process", files={"file": ("photo.jpg", data, "image/jpeg")})
                if answer.status_code not in {429, 503}:
                    break
                # the door takes so many at once
                time.sleep(float(answer.headers.get("Retry-After", "1")))
        answer.raise_for_status()
        job_id = str(answer.json()["job_id"])
        self.sent[job_id] = time.monotonic()
        return job_id

    def wait(self, limit_s: float) -> None:
        """Until every job has ended, or the time is over."""
        until = time.monotonic() + limit_s
        while len(self.ended) < len(self.sent) and time.monotonic() < until:
            time.sleep(_STEP_S)
            for job_id in self.sent.keys() - self.ended.keys():
                status = self._stack.status(job_id)
                if JobState(status["state"]) in TERMINAL_STATES:
                    self.ended[job_id] = status
                    self.took_s[job_id] = round(time.monotonic() - self.sent[job_id], 1)


def main(arguments: list[str]) -> int:
    """Returns 0 when every promise was kept."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            "AzureWebJobsStorage": "",
            "LOCAL_STORAGE_PATH": str(folder / "store"),
            "JOB_DEADLINE_S": f"{chosen.limit_s:.0f}",
            "RECONCILE_SCHEDULE": "0 * * * * *",
        }
        port = free_port()
        stack = Stack(folder, {**environment, "GPU_SERVICE_URL": f"http://127.0.0.1:{port}"})
        gateway = CountingGateway(f"http://127.0.0.1:{stack.gpu_port}")
        server = Server(gateway.app(), port)
        try:
            stack.start()
            told = measure(stack, gateway, chosen)
        finally:
            stack.stop()
            server.stop()
    sys.stdout.write(json.dumps(told) + "\n")
    memory = told["memory_gb"]
    all_well = (
        told["completed"] == told["jobs"]
        and (chosen.kills or told["tiles_computed"] == told["tiles_needed"])
        and memory["idle"] <= _MOST_KEPT * memory["before"]
    )
    return 0 if all_well else 1


def measure(stack: Stack, gateway: CountingGateway, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the burst; what came of it."""
    assert stack.gpu.process is not None
    burst, memory = Burst(stack), Memory(stack.gpu.process.pid)
    sizes = _MIXED if chosen.mixed else [chosen.megapixels] * chosen.jobs
    pictures = [photograph(size, seed) for seed, size in enumerate(sizes)]
    killer = Killer(stack, burst, chosen.kills, len(sizes))
    began = time.monotonic()
    with ThreadPoolExecutor(min(len(pictures), _SENDERS)) as pool:
        list(pool.map(burst.send, pictures))
    time.sleep(chosen.later_s)
    small = burst.send(photograph(chosen.small_megapixels, len(pictures)), other=True)
    burst.wait(chosen.limit_s)
    wall_s = time.monotonic() - began
    killer.stop()
    tiles = killer.tiles + _tiles(stack.gpu_port)
    time.sleep(_IDLE_S)
    memory.stop()
    assert stack.gpu.process is not None
    memory_now = Memory(stack.gpu.process.pid)
    memory_now.stop()
    stages = [stage for status in burst.ended.values() for stage in status["stages"][1:3]]
    return {
        "jobs": len(burst.sent),
        "completed": sum(status["state"] == "COMPLETED" for status in burst.ended.values()),
        "wall_s": round(wall_s, 1),
        "large_s": sorted(took for job_id, took in burst.took_s.items() if job_id != small),
        "small_s": burst.took_s.get(small),
        "tiles_computed": tiles,
        "tiles_needed": gateway.tiles,
        "gpu_calls": gateway.calls,
        "threads_held": gateway.most_open,
        "thread_seconds": round(gateway.held_s, 1),
        "attempts": max((stage["attempt"] for stage in stages), default=0),
        "restarts": sum(stage["restarts"] for stage in stages),
        "worked_s": round(sum(stage["duration_ms"] or 0 for stage in stages) / 1000, 1),
        "waited_s": round(sum(stage["waited_ms"] or 0 for stage in stages) / 1000, 1),
        "memory_gb": {
            "before": round(memory.before_gb, 2),
            "peak": round(memory.peak_gb, 2),
            "idle": round(memory_now.before_gb, 2),
        },
        "kills": killer.killed,
    }


def _tiles(port: int) -> int:
    with local_client(port) as client:
        text = client.get("/metrics").text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return round(next(each.value for each in samples if each.name == "gpu_tiles_computed"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drills gpu-burst", description=__doc__)
    parser.add_argument("--jobs", type=int, default=8, help="large photos at once (%(default)s)")
    parser.add_argument("--megapixels", type=float, default=12.0, help="of each (%(default)s)")
    parser.add_argument("--small-megapixels", type=float, default=0.25, help="of the small one (%(default)s)")
    parser.add_argument("--mixed", action="store_true", help="64 photos of 0.3 to 12 megapixels instead")
    parser.add_argument("--kills", type=int, default=0, help="times that the GPU service dies (%(default)s)")
    parser.add_argument(
        "--later-s", type=float, default=20.0, help="seconds after which it comes (%(default)s)"
    )
    parser.add_argument(
        "--limit-s", type=float, default=14_400.0, help="time in which all must end (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
