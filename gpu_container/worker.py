"""Loads the models, owns the scheduler and its thread, and reports the state of both."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from torch import nn

from gpu_container.atlas import planes_for
from gpu_container.background import BackgroundRemover
from gpu_container.engine import DeviceMemory, UpscaleEngine
from gpu_container.errors import ModelUnavailableError, ServiceStoppingError, StageError
from gpu_container.models import AUTO_UPSCALE, UPSCALE_MODELS, UpscaleModel
from gpu_container.networks.forms import masked_form
from gpu_container.scheduler import Scheduler
from gpu_container.settings import Device, GpuSettings, Runtime
from gpu_container.upscaler import Upscaler
from imagery.contracts import Stage
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_GB = 1e9
_WARM_UP_SIDE = 64


class ServiceState(StrEnum):
    """Health of the service."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    SETUP_FAILED = "SETUP_FAILED"


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
        self.scheduler = Scheduler(settings.memory.batch)
        self.device = "cpu"
        self._loaded = LoadedModels()
        self._set_up = threading.Event()
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)

    def start(self) -> None:
        """Begin to load; the service listens meanwhile."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """End every job that is left, and the thread after the batch it is at, within a bound."""
        self.scheduler.cancel_all(
            ServiceStoppingError("The service is stopping; the picture was handed back.")
        )
        self._thread.join(within_s)

    @property
    def started(self) -> bool:
        """True once loading has ended, well or not."""
        return self._set_up.is_set()

    @property
    def problems(self) -> dict[str, str]:
        """Why a stage can't work, by stage."""
        return self._loaded.problems

    @property
    def state(self) -> ServiceState:
        """The truth about this service."""
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
        """Of the device; zeros before the models are loaded, and on the processor."""
        upscaler = self._loaded.upscaler
        return upscaler.engine.memory() if upscaler else DeviceMemory(0, 0, None)

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
        for stage, load in loaders.items():
            try:
                load()
            except Exception as error:
                # one model that does not load must not take the other stage with it
                self._loaded.problems[stage.value] = str(error)
                _log.error("model_unavailable", stage=stage.value, error=str(error))

    def _load_background(self) -> None:
        self._loaded.background = BackgroundRemover(self.settings, self.device, self.scheduler.call)

    def _load_upscaler(self) -> None:
        model = choose_model(self.settings, self.device)
        engine = make_engine(model, model.load(self.settings.model_cache), self.settings, self.device)
        # the first batches compile kernels and record graphs: no picture should wait for that
        height, width = engine.planes[0] if engine.planes else (_WARM_UP_SIDE, _WARM_UP_SIDE)
        tile = np.zeros((1, height, width, model.channels + bool(engine.planes)), np.uint8)
        for _ in range(engine.max_in_flight):
            engine.start(tile).result()
        started = time.monotonic()
        engine.start(tile).result()
        # small tiles take longer a pixel: the first estimates are too long rather than too short
        self.scheduler.learn(time.monotonic() - started, height * width)
        self._loaded.upscaler = Upscaler(model, engine, self.scheduler, self.settings)


def choose_device(wanted: Device) -> str:
    """``cuda`` or ``cpu``. Raises ``ModelUnavailableError`` when CUDA is asked for and missing."""
    if wanted is Device.AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise ModelUnavailableError("GPU_DEVICE=cuda, but torch finds no CUDA device")
    return wanted.value


def choose_model(settings: GpuSettings, device: str) -> UpscaleModel:
    """The upscaling model by its name in the settings. Raises ``ModelUnavailableError``."""
    name = AUTO_UPSCALE[device] if settings.networks.upscale == "auto" else settings.networks.upscale
    model = UPSCALE_MODELS.get(name)
    if model is None:
        raise ModelUnavailableError(f"there is no upscaling model '{name}': {', '.join(UPSCALE_MODELS)}")
    return model


def make_engine(model: UpscaleModel, network: nn.Module, settings: GpuSettings, device: str) -> UpscaleEngine:
    """What runs ``network`` on ``device``. Raises ``ModelUnavailableError`` where they don't fit."""
    networks = settings.networks
    runtime = networks.runtime
    if runtime is Runtime.AUTO:
        runtime = Runtime.TORCH if device == "cuda" else Runtime.OPENVINO
    if runtime is Runtime.OPENVINO:
        if device != "cpu":
            raise ModelUnavailableError("runtime=openvino (GPU_NETWORKS) runs on the processor only")
        try:
            from gpu_container.openvino_engine import OpenVinoEngine
        except ImportError as error:
            raise ModelUnavailableError(
                "OpenVINO is not installed; set runtime=torch in GPU_NETWORKS"
            ) from error

        return OpenVinoEngine(
            network, precision=networks.precision, tile_step=model.align, threads=networks.threads
        )
    from gpu_container.torch_engine import CudaPlatform, HostPlatform, TorchEngine

    masked = masked_form(network, device) if device == "cuda" and not networks.plain else None
    return TorchEngine(
        masked or network,
        CudaPlatform() if device == "cuda" else HostPlatform(),
        precision=networks.precision,
        tile_step=model.align,
        compiled=networks.compile,
        planes=planes_for(settings.memory.tile) if masked else (),
    )
