"""A stage from blob to blob: read, work on the device, write; each target is worked on once at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
from PIL import Image

from gpu_container import pictures
from gpu_container.errors import (
    DeadlineExceeded,
    ImageTooLarge,
    SourceNotFound,
    StorageUnavailable,
)
from gpu_container.worker import Loaded, Worker, remove_background, upscale
from imagery.contracts import GpuReport, GpuRequest, Stage
from imagery.storage import (
    BlobNameError,
    BlobNotFoundError,
    BlobTooLargeError,
    Storage,
    StorageError,
)
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
Work = Callable[[Loaded, Image.Image, float], tuple[np.ndarray, int]]
_GRACE_S = 1.0


class Stages:
    """The two stages over one worker and one storage."""

    def __init__(self, worker: Worker, storage: Storage) -> None:
        self._worker = worker
        self._storage = storage
        self._lock = threading.Lock()
        self._running: dict[str, Future[GpuReport]] = {}
        # reading and writing blobs goes on beside the device
        self._pool = ThreadPoolExecutor(worker.settings.queue_limit + 1, thread_name_prefix="stage")

    def submit(self, stage: Stage, request: GpuRequest, deadline: float) -> Future[GpuReport]:
        """Start the stage, or join the run that is writing the same target already.

        A caller's connection may end before the work does; the caller comes back and joins it.
        """
        with self._lock:
            running = self._running.get(request.target.path)
            if running is not None:
                return running
            if len(self._running) > self._worker.settings.queue_limit:
                raise self._worker.busy(len(self._running))
            context = copy_context()
            future = self._pool.submit(context.run, self._process, stage, request, deadline)
            self._running[request.target.path] = future
        future.add_done_callback(lambda _: self._forget(request.target.path))
        return future

    def stop(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown(wait=True)

    def _forget(self, path: str) -> None:
        with self._lock:
            self._running.pop(path, None)

    def _process(self, stage: Stage, request: GpuRequest, deadline: float) -> GpuReport:
        started = time.monotonic()
        existing = self._existing(stage, request)
        if existing is not None:
            return existing
        picture = pictures.read(self._read(request), self._worker.settings.max_megapixels)
        work = _WORK[stage]
        task = self._worker.submit(lambda loaded: self._timed(work, loaded, picture, deadline), deadline)
        try:
            result = task.result(max(0.0, deadline - time.monotonic()) + _GRACE_S)
        except TimeoutError:
            task.cancel()
            raise DeadlineExceeded("The caller's deadline passed.") from None
        pixels, tiles, used_gb, peak_gb = result
        self._write(request, pictures.encode(pixels))
        duration_ms = round((time.monotonic() - started) * 1000, 1)
        report = GpuReport(
            output=request.target,
            width=pixels.shape[1],
            height=pixels.shape[0],
            duration_ms=duration_ms,
            vram_used_gb=used_gb,
            vram_peak_gb=peak_gb,
            device=self._worker.device,
            model=self._model(stage),
            tiles=tiles,
        )
        _log.info("gpu_stage_finished", duration_ms=duration_ms, vram_used_gb=used_gb, tiles=tiles)
        return report

    def _timed(
        self, work: Work, loaded: Loaded, picture: Image.Image, deadline: float
    ) -> tuple[np.ndarray, int, float, float]:
        pixels, tiles = work(loaded, picture, deadline)
        return pixels, tiles, *self._worker.vram_used_gb()

    def _existing(self, stage: Stage, request: GpuRequest) -> GpuReport | None:
        """The report of a target that an earlier call has finished."""
        try:
            if not self._storage.exists(request.target):
                return None
            width, height = pictures.size_of(self._storage.read(request.target))
        except BlobNameError:
            raise
        except (StorageError, OSError) as error:
            raise StorageUnavailable("Storage does not answer.") from error
        return GpuReport(
            output=request.target,
            width=width,
            height=height,
            duration_ms=0.0,
            vram_used_gb=0.0,
            vram_peak_gb=0.0,
            device=self._worker.device,
            model=self._model(stage),
            reused=True,
        )

    def _read(self, request: GpuRequest) -> bytes:
        try:
            return self._storage.read(request.source, max_bytes=self._worker.settings.max_bytes)
        except BlobNotFoundError as error:
            raise SourceNotFound(f"{request.source.path} does not exist.") from error
        except BlobTooLargeError as error:
            raise ImageTooLarge(str(error)) from error
        except BlobNameError:
            raise
        except Exception as error:
            raise StorageUnavailable("The source could not be read.") from error

    def _write(self, request: GpuRequest, data: bytes) -> None:
        try:
            self._storage.write(request.target, data, "image/png")
        except Exception as error:
            raise StorageUnavailable("The result could not be written.") from error

    def _model(self, stage: Stage) -> str:
        loaded = self._worker.loaded
        if stage is Stage.REMBG:
            return loaded.background.name if loaded.background else "none"
        return loaded.upscaler.model.name if loaded.upscaler else "none"


def _remove(loaded: Loaded, picture: Image.Image, _: float) -> tuple[np.ndarray, int]:
    return np.asarray(remove_background(loaded, picture)), 0


def _upscale(loaded: Loaded, picture: Image.Image, deadline: float) -> tuple[np.ndarray, int]:
    done = upscale(loaded, picture, deadline)
    return done.pixels, done.tiles


_WORK: dict[Stage, Work] = {Stage.REMBG: _remove, Stage.REALESRGAN: _upscale}
