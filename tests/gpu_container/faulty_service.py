"""The real service on a device that fails: ``python -m tests.gpu_container.faulty_service FOLDER PORT``.

``FOLDER/faults`` holds the faults to come, one for each start of the process: ``sticky`` or ``hang``.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpu_container import device_watch, stages, worker
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import Precision
from gpu_container.torch_engine import HostPlatform, TorchEngine
from gpu_container.upscaler import Upscaler
from gpu_container.worker import GpuWorker

# tiles that go well before the device fails: enough for some rows
_GOOD = 12


class Network(nn.Module):
    """Repeats pixels; ``meet(pixels)`` is called before each batch and may fail."""

    def __init__(self, meet: Callable[[int], None]) -> None:
        super().__init__()
        self.meet = meet

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        self.meet(planes.shape[0] * planes.shape[2] * planes.shape[3])
        return planes.repeat_interleave(4, 2).repeat_interleave(4, 3)


class FailingDevice:
    """Works for some batches."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._batches = 0

    def meet(self, _: int) -> None:
        """A batch comes."""
        self._batches += 1
        if self._batches > _GOOD and self._fault == "hang":
            time.sleep(3600)
        self.probe()

    def probe(self) -> None:
        """What every call of a broken device does."""
        if self._batches > _GOOD and self._fault == "sticky":
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def main(folder: Path, port: str) -> None:
    """Take the next fault, and serve."""
    fault, _, rest = (folder / "faults").read_text().partition(" ")
    (folder / "faults").write_text(rest)
    device = FailingDevice(fault)

    def load(loading: GpuWorker) -> None:
        engine = TorchEngine(Network(device.meet), HostPlatform(), precision=Precision.AUTO, tile_step=8)
        model = UPSCALE_MODELS["realesr-animevideov3"]
        loading._loaded.upscaler = Upscaler(model, engine, loading.scheduler, loading.settings)
        # long works are kept, and a batch may take ten times as long as this
        loading.scheduler.learn(0.05, 128 * 128)

    patched: tuple[tuple[Any, str, Any], ...] = (
        (GpuWorker, "_load_background", lambda _: None),
        (GpuWorker, "_load_upscaler", load),
        (worker, "probe_of", lambda _: device.probe),
    )
    for owner, name, value in patched:
        setattr(owner, name, value)
    stages.KEPT_FROM_S = 0.0
    device_watch.LEAST_LIMIT_S = 3.0
    os.environ |= {
        "LOCAL_STORAGE_PATH": str(folder / "store"),
        "ENV": "DEV",
        "GPU_PORT": port,
        "GPU_DRAIN_S": "5",
        "GPU_MEMORY": "tile=128 batch=1",
    }
    os.environ.pop("AzureWebJobsStorage", None)
    sys.argv = ["gpu_container"]
    runpy.run_module("gpu_container", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
