"""The one thread that owns the device, its bounded queue, and what it loads at start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import torch
from PIL import Image

from gpu_container.background import BackgroundRemover
from gpu_container.errors import (
    Busy,
    DeadlineExceeded,
    ModelUnavailable,
    OutOfMemory,
    StageError,
    Starting,
)
from gpu_container.models import AUTO_UPSCALE, UPSCALE_MODELS
from gpu_container.settings import Device, GpuSettings
from gpu_container.upscaler import Upscaled, Upscaler
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_GB = 1e9
_IDLE_S = 0.5
_FIRST_GUESS_S = 5.0


class State(StrEnum):
    """Health of the service."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    SETUP_FAILED = "SETUP_FAILED"


@dataclass
class Loaded:
    """The models, or why one is missing."""

    background: BackgroundRemover | None = None
    upscaler: Upscaler | None = None
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Work for the device. ``deadline``: time.monotonic() seconds."""

    work: Callable[[Loaded], Any]
    deadline: float
    done: Future[Any]


class Worker:
    """Loads the models and runs tasks one after the other."""

    def __init__(self, settings: GpuSettings) -> None:
        self.settings = settings
        self.loaded = Loaded()
        self.device = "cpu"
        self._queue: Queue[Task] = Queue(settings.queue_limit)
        self._set_up = threading.Event()
        self._stopping = threading.Event()
        self._running = False
        self._average_s = _FIRST_GUESS_S
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)

    def start(self) -> None:
        """Begin to load; the service listens meanwhile."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Take nothing more and finish what was taken, within a bound."""
        self._stopping.set()
        self._thread.join(within_s)

    @property
    def waiting(self) -> int:
        """Tasks in the queue."""
        return self._queue.qsize()

    @property
    def state(self) -> State:
        """The truth about this service."""
        if not self._set_up.is_set():
            return State.STARTING
        if self.loaded.problems:
            return State.SETUP_FAILED
        return State.BUSY if self._running else State.READY

    def submit(self, work: Callable[[Loaded], Any], deadline: float) -> Future[Any]:
        """Queue ``work``. Raises ``Starting``, ``Busy``."""
        if not self._set_up.is_set():
            raise Starting("The models are being loaded.")
        if self._stopping.is_set():
            raise Busy("The service is stopping.", 1.0)
        task: Task = Task(work, deadline, Future())
        try:
            self._queue.put_nowait(task)
        except Full:
            raise self.busy(self.waiting) from None
        return task.done

    def busy(self, waiting: int) -> Busy:
        """The refusal of one request too many, with the time after which there should be room."""
        return Busy(f"{waiting} requests are being worked on already.", max(1.0, round(self._average_s, 1)))

    def vram_used_gb(self) -> tuple[float, float]:
        """Memory of the device in use now, and its peak since the last reset, GB."""
        if self.device != "cuda":
            return 0.0, 0.0
        return torch.cuda.memory_allocated() / _GB, torch.cuda.max_memory_allocated() / _GB

    def _main(self) -> None:
        started = time.monotonic()
        self._load()
        self._set_up.set()
        _log.info(
            "models_loaded",
            duration_ms=round((time.monotonic() - started) * 1000),
            device=self.device,
            problems=self.loaded.problems or None,
        )
        while not (self._stopping.is_set() and self._queue.empty()):
            try:
                task = self._queue.get(timeout=_IDLE_S)
            except Empty:
                continue
            self._run(task)

    def _load(self) -> None:
        try:
            self.device = _choose_device(self.settings.device)
        except ModelUnavailable as error:
            self.loaded.problems = {"rembg": str(error), "realesrgan": str(error)}
            return
        loaders = {"rembg": self._load_background, "realesrgan": self._load_upscaler}
        for stage, load in loaders.items():
            try:
                load()
            except Exception as error:
                # one model that does not load must not take the other stage with it
                self.loaded.problems[stage] = str(error)
                _log.error("model_unavailable", stage=stage, error=str(error))

    def _load_background(self) -> None:
        remover = BackgroundRemover(self.settings, self.device)
        self.loaded.background = remover

    def _load_upscaler(self) -> None:
        name = self.settings.upscale_model
        if name == "auto":
            name = AUTO_UPSCALE[self.device]
        model = UPSCALE_MODELS.get(name)
        if model is None:
            raise ModelUnavailable(f"there is no upscaling model '{name}': {', '.join(UPSCALE_MODELS)}")
        device = torch.device(self.device)
        self.loaded.upscaler = Upscaler(
            model,
            model.load(self.settings.model_cache, device),
            device,
            tile=self.settings.tile,
            min_tile=self.settings.min_tile,
            alpha=self.settings.alpha,
        )

    def _run(self, task: Task) -> None:
        if not task.done.set_running_or_notify_cancel():
            return
        self._running = True
        started = time.monotonic()
        try:
            if started > task.deadline:
                raise DeadlineExceeded("the caller's deadline passed in the queue")
            task.done.set_result(task.work(self.loaded))
        except torch.OutOfMemoryError as error:
            problem = OutOfMemory("the device's memory is used up")
            problem.__cause__ = error
            task.done.set_exception(problem)
        except Exception as error:
            task.done.set_exception(error)
        finally:
            self._running = False
            self._average_s += 0.3 * (time.monotonic() - started - self._average_s)


def remove_background(loaded: Loaded, picture: Image.Image) -> Image.Image:
    """The cut-out. Raises ``ModelUnavailable``, ``NoSubjectFound``."""
    if loaded.background is None:
        raise _unavailable(loaded, "rembg")
    return loaded.background.remove(picture)


def upscale(loaded: Loaded, picture: Image.Image, deadline: float) -> Upscaled:
    """The upscaled picture. Raises ``ModelUnavailable``, ``OutOfMemory``, ``DeadlineExceeded``."""
    if loaded.upscaler is None:
        raise _unavailable(loaded, "realesrgan")
    return loaded.upscaler.upscale(np.array(picture), deadline)


def _unavailable(loaded: Loaded, stage: str) -> StageError:
    return ModelUnavailable(f"The model of {stage} is not loaded: {loaded.problems.get(stage, 'no reason')}")


def _choose_device(wanted: Device) -> str:
    if wanted is Device.AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise ModelUnavailable("GPU_DEVICE=cuda, but torch finds no CUDA device")
    return wanted.value
