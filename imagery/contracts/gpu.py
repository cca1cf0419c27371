"""What the app and the GPU service send each other."""

from __future__ import annotations

from pydantic import Field

from imagery.contracts.jobs import BlobRef, Stage
from imagery.contracts.message import Message


class GpuRequest(Message):
    """Body of the GPU service's ``POST /v1/remove-background`` and ``POST /v1/upscale``."""

    job_id: str
    source: BlobRef
    target: BlobRef


class GpuTicket(Message):
    """By what a caller finds its work again: its id, and the cookie that leads to the replica."""

    work_id: str = ""
    cookie: str = ""


class GpuProgress(Message):
    """What the GPU service is doing for a job right now: its ``GET /v1/jobs/{job_id}``, and each 202.

    ``ahead``: jobs that came before and have not ended, while this one has not begun. Tiles are counted
    while upscaling; ``tiles_total`` grows where memory forces smaller tiles. ``expected_s``: seconds until
    the end, estimated from the work of all jobs there; None while it is not known yet. ``work_id``: another
    one than before means that the work was taken over.
    """

    stage: Stage
    work_id: str = ""
    ahead: int = 0
    tiles_done: int | None = None
    tiles_total: int | None = None
    expected_s: float | None = None


class GpuQueue(Message):
    """Works of one replica, how many it admits, and when all will have ended, seconds from now."""

    running: int = 0
    limit: int = 0
    expected_s: float = 0.0


class GpuHealth(Message):
    """What a replica of the GPU service says of itself: its ``GET /healthz``, and part of each report.

    ``state``: STARTING, READY, BUSY, SETUP_FAILED or FAILED (the device is lost). ``models``: ``ok``, or why
    one can't be used, by stage.
    ``vram_*`` in GB (1e9 bytes), 0.0 on CPU; the peak is the one since the device was last idle.
    """

    state: str
    stopping: bool = False
    version: str = ""
    device: str = ""
    replica: str = "gpu"
    models: dict[str, str] = Field(default_factory=dict)
    queue: GpuQueue = GpuQueue()
    vram_used_gb: float = 0.0
    vram_peak_gb: float = 0.0


class GpuReport(Message):
    """Response of the GPU service: sizes in pixels, ``vram_*`` in GB (1e9 bytes), 0.0 on CPU.

    ``tiles``: computed by this work, ``resumed_tiles`` by one before it. ``duration_ms``: of the work alone,
    ``waited_ms``: while the device worked for others. ``health``: how the replica is after this work; version
    0.1 does not say.
    """

    output: BlobRef
    width: int
    height: int
    duration_ms: float
    vram_used_gb: float
    vram_peak_gb: float
    device: str
    model: str
    tiles: int = 0
    resumed_tiles: int = 0
    reused: bool = False
    work_id: str = ""
    waited_ms: float | None = None
    health: GpuHealth | None = None
