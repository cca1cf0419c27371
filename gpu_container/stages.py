"""A stage from blob to blob: read, work on the device, write; each target is worked on once at a time."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import wait
from contextlib import ExitStack, closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from gpu_container import pictures
from gpu_container.admission import Admission
from gpu_container.errors import DeadlineExceededError, OutOfMemoryError
from gpu_container.kept_bands import KeptBands
from gpu_container.lane import JobLane
from gpu_container.stage_blobs import StageBlobs
from gpu_container.turns import ends
from gpu_container.worker import GpuWorker
from gpu_container.works import StageWork, WorkBook
from imagery.contracts import GpuProgress, GpuReport, GpuRequest, Stage
from imagery.storage import Storage
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
# 0 (fastest) to 3
_PNG_LEVEL = 1
# expected seconds at the device from which on finished rows are kept
KEPT_FROM_S = 20.0


@dataclass
class _Result:
    """An encoded picture and what it took."""

    file: BinaryIO
    width: int
    height: int
    model: str
    tiles: int


class StageService:
    """The two stages over one worker and one storage."""

    def __init__(self, worker: GpuWorker, storage: Storage) -> None:
        self.admission = Admission(worker)
        self._worker = worker
        self._storage = storage
        self._blobs = StageBlobs(storage)
        self._works = WorkBook()
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Works that go on."""
        return len(self._works)

    def submit(self, stage: Stage, request: GpuRequest, deadline: float) -> StageWork:
        """Start the stage, or join the work for the same target; an end nobody has heard is found again.

        Callers may go and come back: the work goes on until ``deadline`` (time.monotonic() seconds).
        Raises ``DeadlineExceededError``, ``ServiceStartingError``, ``ServiceBusyError``,
        ``ServiceStoppingError``.
        """
        if time.monotonic() >= deadline:
            raise DeadlineExceededError("The caller's deadline has passed.")
        with self._lock:
            known = self._works.join(request.target.path, deadline)
            if known is not None:
                return known
            self.admission.check(len(self._works))
            work = StageWork(stage, request.job_id, request.target.path, JobLane(deadline))
            self._works.begin(work)
        # reading, decoding, encoding and writing go on beside the device
        thread = threading.Thread(
            target=copy_context().run, args=(self._run, work, request), name="stage", daemon=True
        )
        thread.start()
        return work

    def heard(self, work: StageWork) -> None:
        """A caller was told how ``work`` ended."""
        self._works.heard(work)

    def cancel(self, job_id: str) -> int:
        """End what is being done for a job. Returns how many works there were."""
        ended = self._works.cancel(job_id)
        if ended:
            _log.info("gpu_job_cancelled", job_id=job_id, works=ended)
        return ended

    def progress(self, job_id: str) -> GpuProgress | None:
        """What is being done for a job; None when nothing is."""
        return next((self.progress_of(work) for work in self._works.running() if work.job_id == job_id), None)

    def progress_of(self, work: StageWork) -> GpuProgress:
        """How far a work is, and when it will probably have ended."""
        lane = work.lane
        works = self._works.running()
        ends_s = dict(zip((each.work_id for each in works), self._ends_s(works), strict=True))
        end_s = ends_s.get(work.work_id, 0.0)
        expected_s = round(end_s, 1) if work.is_measured else None
        told = GpuProgress(stage=work.stage, work_id=work.work_id, expected_s=expected_s)
        if not lane.computed:
            told = told.model_copy(update={"ahead": sum(each < end_s for each in ends_s.values())})
        if lane.total == 0:
            return told
        tiles = {"tiles_done": min(lane.computed + lane.resumed, lane.total), "tiles_total": lane.total}
        return told.model_copy(update=tiles)

    def expected_s(self) -> float:
        """Seconds until everything that runs will probably have ended."""
        return round(max(self._ends_s(self._works.running()), default=0.0), 1)

    def drain(self, within_s: float) -> None:
        """Admit nothing more, let what runs finish, and hand back what does not within the time."""
        self.admission.close()
        running = [work.future for work in self._works.running()]
        _log.info("draining", running=len(running), within_s=within_s)
        _, late = wait(running, within_s)
        self._worker.stop(0.0)
        _log.info("drained", handed_back=len(late))

    def _ends_s(self, works: list[StageWork]) -> list[float]:
        left_s = [self._left_s(work) for work in works]
        # one of unknown size is not taken for a small one
        most_s = max(left_s, default=0.0)
        return ends([each if work.is_measured else most_s for work, each in zip(works, left_s, strict=True)])

    def _left_s(self, work: StageWork) -> float:
        """Time of the device for the rest of a work; until its tiles are cut, for every pixel."""
        scheduler = self._worker.scheduler
        if work.stage is Stage.REMBG:
            return scheduler.call_s
        return scheduler.pixels_s(work.lane.left if work.lane.total else work.pixels)

    def _run(self, work: StageWork, request: GpuRequest) -> None:
        try:
            outcome: GpuReport | Exception = self._process(work, request)
        except Exception as error:
            outcome = error
        self._works.end(work, outcome)

    def _process(self, work: StageWork, request: GpuRequest) -> GpuReport:
        existing = self._existing(work.stage, request)
        if existing is not None:
            return existing
        with ExitStack() as held:
            try:
                picture = self._decode(request, work, held)
                kept = self._kept(work, request)
                result = self._result(work, picture, kept)
            except MemoryError as error:
                raise OutOfMemoryError("The machine's memory is used up.") from error
            with result.file, work.working():
                self._blobs.write(request, result.file)
        if kept is not None:
            kept.drop()
        duration_ms, waited_ms = work.times_ms()
        used_gb, peak_gb = self._worker.vram_gb()
        report = GpuReport(
            output=request.target,
            width=result.width,
            height=result.height,
            duration_ms=duration_ms,
            waited_ms=waited_ms,
            vram_used_gb=used_gb,
            vram_peak_gb=peak_gb,
            device=self._worker.device,
            model=result.model,
            tiles=result.tiles,
            resumed_tiles=work.lane.resumed,
            work_id=work.work_id,
        )
        _log.info(
            "gpu_stage_finished",
            duration_ms=duration_ms,
            waited_ms=waited_ms,
            vram_used_gb=used_gb,
            tiles=result.tiles,
            resumed_tiles=work.lane.resumed,
        )
        return report

    def _result(self, work: StageWork, picture: Image.Image, kept: KeptBands | None) -> _Result:
        if work.stage is Stage.REMBG:
            return remove_background(self._worker, picture, work.lane)
        return upscale(self._worker, picture, work.lane, kept)

    def _kept(self, work: StageWork, request: GpuRequest) -> KeptBands | None:
        """Where the finished rows of a long work are kept. Returns None for a short one."""
        is_long = self._worker.scheduler.pixels_s(work.pixels) >= KEPT_FROM_S
        if work.stage is Stage.REMBG or not is_long:
            return None
        kept = KeptBands(self._storage, request.target, f"{self._worker.upscaler.model.name}-{work.source}")
        kept.look()
        return kept

    def _decode(self, request: GpuRequest, work: StageWork, held: ExitStack) -> Image.Image:
        """The source's picture; what it takes of the memory's bound is given back with ``held``."""
        most = self._worker.settings.memory.max_megapixels
        with self.admission.reading(work.lane), work.working():
            work.pixels = self._blobs.pixels(request, most)
        self._check_wait(work)
        held.enter_context(self.admission.memory_for(work.pixels, work.lane))
        with self.admission.reading(work.lane), work.working():
            data = self._blobs.read(request)
            work.source = hashlib.blake2b(data, digest_size=8).hexdigest()
            return pictures.read(data, most)

    def _check_wait(self, work: StageWork) -> None:
        works = self._works.running()
        if work in works:
            end_s = self._ends_s(works)[works.index(work)]
            self.admission.check_wait(end_s - self._left_s(work))

    def _existing(self, stage: Stage, request: GpuRequest) -> GpuReport | None:
        """The report of a target that an earlier call has finished."""
        size = self._blobs.finished_size(request)
        if size is None:
            return None
        width, height = size
        return GpuReport(
            output=request.target,
            width=width,
            height=height,
            duration_ms=0.0,
            vram_used_gb=0.0,
            vram_peak_gb=0.0,
            device=self._worker.device,
            model=_model(self._worker, stage),
            reused=True,
        )


def remove_background(worker: GpuWorker, picture: Image.Image, lane: JobLane) -> _Result:
    """The cut-out as PNG. Raises ``StageError``."""
    remover = worker.background
    cutout = remover.remove(picture, lane)
    height, width, channels = cutout.shape
    file = pictures.write([cutout], width, height, channels, _PNG_LEVEL)
    return _Result(file, width, height, remover.name, 0)


def upscale(worker: GpuWorker, picture: Image.Image, lane: JobLane, kept: KeptBands | None = None) -> _Result:
    """The upscaled picture as PNG, encoded while later rows are computed. Raises ``StageError``."""
    upscaler = worker.upscaler
    pixels = np.asarray(picture)
    # one copy of the largest pictures in memory is enough
    del picture
    height, width, channels = pixels.shape
    scale = upscaler.model.scale
    # closed at once also when writing fails: what still waits of the job must not keep the device busy
    with closing(upscaler.bands(pixels, lane, kept)) as bands:
        file = pictures.write(bands, width * scale, height * scale, channels, _PNG_LEVEL)
    return _Result(file, width * scale, height * scale, upscaler.model.name, lane.computed)


def _model(worker: GpuWorker, stage: Stage) -> str:
    if stage.value in worker.problems:
        return "none"
    return worker.background.name if stage is Stage.REMBG else worker.upscaler.model.name
