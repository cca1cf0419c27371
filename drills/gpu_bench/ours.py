"""Our stages as the service runs them, from encoded bytes to encoded bytes."""

from __future__ import annotations

import time

from gpu_container import pictures, stages
from gpu_container.lane import JobLane
from gpu_container.settings import GpuSettings
from gpu_container.worker import GpuWorker
from imagery.contracts import Stage

GPU_STAGES = (Stage.REMBG, Stage.REALESRGAN)

_FOREVER_S = 3600.0


def with_networks(settings: GpuSettings, **words: object) -> GpuSettings:
    """``settings`` with other words of ``GPU_NETWORKS``."""
    return settings.model_copy(update={"networks": settings.networks.model_copy(update=words)})


class Ours:
    """One worker, loaded."""

    def __init__(self, settings: GpuSettings, needed: tuple[Stage, ...] = GPU_STAGES) -> None:
        """Raises ``RuntimeError`` when the model of a ``needed`` stage does not load."""
        self.worker = GpuWorker(settings)
        self.worker.start()
        while not self.worker.started:
            time.sleep(0.01)
        missing = [stage for stage in needed if stage.value in self.worker.problems]
        if missing:
            raise RuntimeError(f"the models could not be loaded: {self.worker.problems}")

    def upscale(self, data: bytes) -> bytes:
        """The upscaling stage: decode, upscale, encode."""
        picture = pictures.read(data, self.worker.settings.memory.max_megapixels)
        with stages.upscale(self.worker, picture, JobLane(time.monotonic() + _FOREVER_S)).file as file:
            return file.read()

    def cut_out(self, data: bytes) -> bytes:
        """The background removal stage: decode, cut out, encode."""
        picture = pictures.read(data, self.worker.settings.memory.max_megapixels)
        lane = JobLane(time.monotonic() + _FOREVER_S)
        with stages.remove_background(self.worker, picture, lane).file as file:
            return file.read()

    def cut_out_and_upscale(self, data: bytes) -> bytes:
        """Both stages, with the picture encoded and decoded again between them, as in the pipeline."""
        return self.upscale(self.cut_out(data))

    def stop(self) -> None:
        """End the device's thread."""
        self.worker.stop(10.0)
