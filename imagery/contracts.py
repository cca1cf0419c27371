"""Every message that passes between rooms: small, frozen, versionable pydantic models.

Messages carry blob names, never pixels. A new field needs a default, so that a message written by
the previous version can still be read by instances that are in flight during a deployment.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class JsonObject(dict[str, Any]):
    """A JSON object as durable functions carry it.

    A class of its own because the Functions worker refuses parameterised generics such as
    ``dict[str, Any]`` as annotations of a function's bindings.
    """


class Message(BaseModel):
    """Base of all messages: immutable, unknown fields ignored so that old code reads new messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)

    def to_json(self) -> JsonObject:
        """The message as plain JSON types, the only form that durable functions may carry."""
        return JsonObject(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what ``to_json`` wrote. Raises ``pydantic.ValidationError``."""
        return cls.model_validate(data)


class Stage(StrEnum):
    """The four steps of a job, in order."""

    GUARDRAIL = "guardrail"
    REMBG = "rembg"
    REALESRGAN = "realesrgan"
    NANO_BANANA = "nano_banana"


class JobState(StrEnum):
    """State of a job, kept in SQL."""

    QUEUED = "QUEUED"
    VALIDATING = "VALIDATING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """True when the job will not change any more without an explicit request."""
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({JobState.COMPLETED, JobState.REJECTED, JobState.FAILED, JobState.CANCELLED})
OPEN_STATES = frozenset(JobState) - TERMINAL_STATES


class StageState(StrEnum):
    """State of one stage of one job. REJECTED: its input was judged unusable, so a repeat is no cure."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @classmethod
    def _missing_(cls, value: object) -> StageState | None:
        # an instance of the previous version may still write the former word during a deployment
        return cls.REJECTED if value == "REFUSED" else None


class BlobRef(Message):
    """The address of one blob. ``etag`` pins a version where it matters."""

    container: str
    name: str
    etag: str | None = None

    @property
    def path(self) -> str:
        """``container/name``."""
        return f"{self.container}/{self.name}"


UPLOADS = "uploads"
JOBS = "jobs"

_OUTPUT_NAMES = {
    Stage.GUARDRAIL: "0-guardrail.png",
    Stage.REMBG: "1-rembg.png",
    Stage.REALESRGAN: "2-realesrgan.png",
    Stage.NANO_BANANA: "3-nano-banana.png",
}


def stage_output(job_id: str, stage: Stage) -> BlobRef:
    """Where a stage of a job writes to: a name that depends on nothing else."""
    return BlobRef(container=JOBS, name=f"{job_id}/{_OUTPUT_NAMES[stage]}")


class AspectRatio(StrEnum):
    """Aspect ratios of the placed picture that the image model accepts."""

    SQUARE = "1:1"
    PORTRAIT_2_3 = "2:3"
    LANDSCAPE_3_2 = "3:2"
    PORTRAIT_3_4 = "3:4"
    LANDSCAPE_4_3 = "4:3"
    PORTRAIT_4_5 = "4:5"
    LANDSCAPE_5_4 = "5:4"
    PORTRAIT_9_16 = "9:16"
    LANDSCAPE_16_9 = "16:9"
    CINEMA_21_9 = "21:9"


class ImageSize(StrEnum):
    """Size classes of the placed picture that the image model accepts."""

    K1 = "1K"
    K2 = "2K"
    K4 = "4K"


DEFAULT_PROMPT = (
    "Place the subject on a light oak table in a bright room with soft daylight from the left, "
    "with a natural contact shadow. Keep the subject unchanged."
)


class JobOptions(Message):
    """What a caller may choose for a job."""

    prompt: str = Field(default=DEFAULT_PROMPT, description="The scene in which the cut-out is placed.")
    aspect_ratio: AspectRatio = Field(
        default=AspectRatio.SQUARE, description="Aspect ratio of the placed picture."
    )
    image_size: ImageSize = Field(default=ImageSize.K1, description="Size class of the placed picture.")
    fresh: bool = Field(
        default=False,
        description="Compute and pay again even if an earlier job has the same result.",
    )


class JobRequest(Message):
    """What every entrance (blob upload, HTTP, batch) reduces to."""

    job_id: str
    source: BlobRef
    owner_id: str
    options: JobOptions = JobOptions()
    content_type: str | None = None
    request_hash: str = ""
    batch_id: str | None = None
    callback_url: str | None = None


class RetryPolicy(Message):
    """Exponential retries: waits of ``first_s * coefficient**n`` up to ``cap_s``, ``attempts`` in all.

    ``jitter``: share by which a wait may be longer, see ``imagery.backoff``.
    """

    first_s: float
    coefficient: float
    cap_s: float
    attempts: int
    jitter: float = 0.0


class PipelineInput(Message):
    """Input of the ``image_pipeline`` orchestrator. All it decides by is in here: it reads no settings."""

    job_id: str
    run: int = 1
    deadline: datetime
    gpu_retry: RetryPolicy
    nano_banana_retry: RetryPolicy
    records_retry: RetryPolicy
    max_waits: int = 200


class BatchInput(Message):
    """Input of the ``batch`` orchestrator: jobs whose rows exist already.

    ``job_deadline_s``: seconds that each job gets from when its turn comes; None: the deadline its
    pipeline was given stays.
    """

    batch_id: str
    pipelines: list[BatchItem]
    parallel: int
    job_deadline_s: float | None = None


class BatchItem(Message):
    """One job of a batch and the instance it runs as."""

    instance_id: str
    pipeline: PipelineInput


class StageInput(Message):
    """Input of a stage's activity."""

    job_id: str
    run: int
    stage: Stage
    deadline: datetime


class StageOutcome(StrEnum):
    """How a stage's activity ended, when it ended without an exception."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    RETRY_LATER = "retry_later"
    CANCELLED = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> StageOutcome | None:
        # histories recorded up to migration 0004 hold the former word
        return cls.REJECTED if value == "refused" else None


class StageResult(Message):
    """What a stage's activity returns. What a plain retry may cure is raised instead."""

    stage: Stage
    outcome: StageOutcome
    output: BlobRef | None = None
    error_code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None
    cost_usd: float = 0.0


class FinishInput(Message):
    """Input of the ``finish_job`` activity. ``error_code`` None: the stage's row holds it."""

    job_id: str
    run: int
    state: JobState
    stage: Stage | None = None
    error_code: str | None = None
    message: str | None = None


class JobSummary(Message):
    """Output of ``image_pipeline``."""

    job_id: str
    state: JobState
    stage: Stage | None = None
    error_code: str | None = None
    delivery_id: str | None = None


class CallbackOrder(Message):
    """Input of the ``notify`` activity."""

    delivery_id: str


class CallbackInput(Message):
    """Input of the ``callback`` orchestrator."""

    delivery_id: str
    max_attempts: int
    records_retry: RetryPolicy


class CallbackOutcome(Message):
    """What ``notify`` returns. ``retry_after_s`` None: delivered, or given up."""

    delivered: bool = False
    retry_after_s: float | None = None


class PipelineStatus(Message):
    """Custom status of ``image_pipeline``: what the job is doing right now and, if it waits, why."""

    stage: Stage | None
    doing: str
    waiting_until: datetime | None = None


class GpuRequest(Message):
    """Body of the GPU service's ``POST /v1/remove-background`` and ``POST /v1/upscale``."""

    job_id: str
    source: BlobRef
    target: BlobRef


class GpuProgress(Message):
    """Response of the GPU service's ``GET /v1/jobs/{job_id}``: what it is doing for a job right now.

    ``ahead``: jobs that came before and have not ended, while this one has not begun. Tiles are counted
    while upscaling; ``tiles_total`` grows where memory forces smaller tiles.
    """

    stage: Stage
    ahead: int = 0
    tiles_done: int | None = None
    tiles_total: int | None = None


class GpuReport(Message):
    """Response of the GPU service: sizes in pixels, ``vram_*`` in GB (1e9 bytes), 0.0 on CPU."""

    output: BlobRef
    width: int
    height: int
    duration_ms: float
    vram_used_gb: float
    vram_peak_gb: float
    device: str
    model: str
    tiles: int = 0
    reused: bool = False


class Problem(Message):
    """An error as RFC 9457 ``application/problem+json``; ``code`` is a stable snake_case word."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    job_id: str | None = None
    errors: list[dict[str, Any]] | None = None


class CheckResult(Message):
    """One check of the guardrail: what was measured against which limit.

    ``passed`` None: not measured, because a cheaper check had rejected the input or this one is switched off.
    """

    name: str
    passed: bool | None
    measured: str
    limit: str
    code: str | None = None
    message: str


class GuardrailReport(Message):
    """The guardrail's verdict with every check that was made, cheapest first."""

    admitted: bool
    checks: list[CheckResult]
    code: str | None = None
    message: str
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: float = 0.0


BatchInput.model_rebuild()
