"""Loads the models, owns the scheduler and its thread, and reports the state of both."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch

from gpu_container.background import BackgroundRemover
from gpu_container.device_watch import DeviceWatch, probe_of
from gpu_container.engine import DeviceMemory, DeviceMemoryError
from gpu_container.engines import choose_model, make_engine
from gpu_container.errors import ModelUnavailableError, ServiceStoppingError, StageError
from gpu_container.scheduler import Scheduler
from gpu_container.sensors import DeviceSensors
from gpu_container.settings import Device, GpuSettings
from gpu_container.upscaler import Upscaler
from imagery.contracts import Stage
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_GB = 1e9
_WARM_UP_SIDE = 64
# from the second use of a shape on its graph is recorded
_WARM_UPS = 2
# after so long nothing more is warmed up
_WARM_UP_S = 60.0


class ServiceState(StrEnum):
    """Health of the service."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    SETUP_FAILED = "SETUP_FAILED"
    FAILED = "FAILED"


@dataclass
class LoadedModels:
    """The models, or why one is missing (by stage)."""

    background: BackgroundRemover | None = None
    upscaler: Upscaler | None = None
    problems: dict[str, str] = field(default_factory=dict)


class GpuWorker:
    """The models on their device."""

    def __init__(self, settings: GpuSettings) -> None:
        self.settings = settings
        self.watch = DeviceWatch()
        self.scheduler = Scheduler(settings.memory.batch, self.watch)
        self.sensors = DeviceSensors()
        self.device = self.device_name = "cpu"
        self._loaded = LoadedModels()
        self._set_up = threading.Event()
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)

    def start(self) -> None:
        """Begin to load; the service listens meanwhile."""
        self._thread.start()
        self.watch.start()

    def stop(self, within_s: float) -> None:
        """End every job that is left, and the thread after the batch it is at, within a bound."""
        self.scheduler.cancel_all(
            ServiceStoppingError("The service is stopping; the picture was handed back.")
        )
        self.sensors.stop()
        self._thread.join(within_s)

    @property
    def started(self) -> bool:
        """True once loading has ended, well or not."""
        return self._set_up.is_set()

    @property
    def problems(self) -> dict[str, str]:
        """Why a stage can't work, by stage."""
        if self.watch.lost is not None:
            return dict.fromkeys((Stage.REMBG.value, Stage.REALESRGAN.value), self.watch.lost)
        return self._loaded.problems

    @property
    def state(self) -> ServiceState:
        """The truth about this service. FAILED: the device is lost, and only a new process can help."""
        if self.watch.lost is not None:
            return ServiceState.FAILED
        if not self.started:
            return ServiceState.STARTING
        if self._loaded.problems:
            return ServiceState.SETUP_FAILED
        return ServiceState.BUSY if self.scheduler.busy else ServiceState.READY

    @property
    def background(self) -> BackgroundRemover:
        """Raises ``ModelUnavailableError``."""
        if self._loaded.background is None:
            raise self._unavailable(Stage.REMBG)
        return self._loaded.background

    @property
    def upscaler(self) -> Upscaler:
        """Raises ``ModelUnavailableError``."""
        if self._loaded.upscaler is None:
            raise self._unavailable(Stage.REALESRGAN)
        return self._loaded.upscaler

    def memory(self) -> DeviceMemory:
        """Of the device, as its thread saw it last; zeros before models are loaded, and on a processor."""
        return self.scheduler.memory

    def vram_gb(self) -> tuple[float, float]:
        """Memory of the device in use now, and its peak since the device was last idle, GB."""
        memory = self.memory()
        return memory.used / _GB, memory.peak / _GB

    def _unavailable(self, stage: Stage) -> StageError:
        reason = self._loaded.problems.get(stage.value, "no reason")
        return ModelUnavailableError(f"The model of {stage.value} is not loaded: {reason}")

    def _main(self) -> None:
        started = time.monotonic()
        self._load()
        self._set_up.set()
        upscaler = self._loaded.upscaler
        _log.info(
            "models_loaded",
            duration_ms=round((time.monotonic() - started) * 1000),
            device=self.device,
            runtime=upscaler.engine.name if upscaler else None,
            precision=upscaler.engine.precision if upscaler else None,
            problems=self._loaded.problems or None,
        )
        self.scheduler.run()

    def _load(self) -> None:
        loaders = {Stage.REMBG: self._load_background, Stage.REALESRGAN: self._load_upscaler}
        try:
            self.device = choose_device(self.settings.device)
        except ModelUnavailableError as error:
            self._loaded.problems = {stage.value: str(error) for stage in loaders}
            return
        self.watch.probe = probe_of(self.device)
        if self.device == "cuda":
            card = torch.cuda.get_device_properties(0)
            self.device_name = card.name
            self.sensors.start(str(card.uuid))
        for stage, load in loaders.items():
            try:
                with self.watch.step(0.0):
                    load()
            except Exception as error:
                if self.watch.check(error):
                    return
                # one model that does not load must not take the other stage with it
                self._loaded.problems[stage.value] = str(error)
                _log.error("model_unavailable", stage=stage.value, error=str(error))

    def _load_background(self) -> None:
        self._loaded.background = BackgroundRemover(self.settings, self.device, self.scheduler.call)

    def _load_upscaler(self) -> None:
        model = choose_model(self.settings, self.device)
        engine = make_engine(model, model.load(self.settings.model_cache), self.settings, self.device)
        upscaler = Upscaler(model, engine, self.scheduler, self.settings)
        self._warm_up(upscaler)
        # recorded graphs have taken memory
        self.scheduler.look_at_memory()
        self._loaded.upscaler = upscaler

    def _warm_up(self, upscaler: Upscaler) -> None:
        """Load kernels and record graphs for the usual batches: no picture should wait for that.

        What does not fit, or would begin too late, waits for its first picture.
        """
        engine, started = upscaler.engine, time.monotonic()
        took_s, pixels = 0.0, 0
        for shape in warm_up_shapes(upscaler, self.settings):
            if pixels and time.monotonic() - started > _WARM_UP_S:
                _log.warning("warm_up_too_long", shape=list(shape))
                break
            try:
                for _ in range(_WARM_UPS * engine.max_in_flight):
                    began = time.monotonic()
                    engine.start(np.zeros(shape, np.uint8)).result()
            except DeviceMemoryError as error:
                # it will be halved when it comes
                _log.warning("warm_up_too_large", shape=list(shape), error=str(error))
                engine.release()
                continue
            took_s, pixels = time.monotonic() - began, math.prod(shape[:3])
        if not pixels:
            raise DeviceMemoryError("not even the smallest batch fits into the device's memory")
        # on a processor and in planes the last one takes longest a pixel: first estimates are too long
        self.scheduler.learn(took_s, pixels)


def warm_up_shapes(upscaler: Upscaler, settings: GpuSettings) -> list[tuple[int, int, int, int]]:
    """Batches (N, H, W, C) that many pictures will need, each with kernels or a graph of its own.

    With planes all that fit, the largest first, so that the others share the memory of its graph. Without, on
    CUDA, a whole tile and the largest batch of them.
    """
    engine, memory, channels = upscaler.engine, settings.memory, upscaler.model.channels
    planes = sorted(upscaler.planes, key=math.prod, reverse=True)
    if planes:
        return [(1, height, width, channels + 1) for height, width in planes]
    shapes = [(1, _WARM_UP_SIDE, _WARM_UP_SIDE, channels)]
    if engine.device == "cuda":
        side = memory.tile // engine.tile_step * engine.tile_step
        most = min(memory.batch, engine.useful_pixels // side**2) if side else 0
        shapes += [(count, side, side, channels) for count in sorted({1, most}) if 0 < count <= most]
    return shapes


def choose_device(wanted: Device) -> str:
    """``cuda`` or ``cpu``. Raises ``ModelUnavailableError`` when CUDA is asked for and missing."""
    if wanted is Device.AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise ModelUnavailableError("GPU_DEVICE=cuda, but torch finds no CUDA device")
    return wanted.value
