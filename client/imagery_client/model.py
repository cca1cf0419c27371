"""What the API sends, as far as the command line reads it.

The enums equal those of the app's contracts: a test holds it. Fields that are not named here are kept and
appear in ``to_json``, so ``--json`` prints all that the API sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Stage(StrEnum):
    """The four steps of a job, in order."""

    GUARDRAIL = "guardrail"
    REMBG = "rembg"
    REALESRGAN = "realesrgan"
    NANO_BANANA = "nano_banana"


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "QUEUED"
    VALIDATING = "VALIDATING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


ENDED = frozenset({JobState.COMPLETED, JobState.REJECTED, JobState.FAILED, JobState.CANCELLED})


class AspectRatio(StrEnum):
    """Aspect ratios of the placed picture."""

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
    PORTRAIT_1_4 = "1:4"
    LANDSCAPE_4_1 = "4:1"
    PORTRAIT_1_8 = "1:8"
    LANDSCAPE_8_1 = "8:1"


class JobOutput(StrEnum):
    """What a job makes; only a scene is paid."""

    SCENE = "scene"
    CUTOUT = "cutout"
    UPSCALED_CUTOUT = "upscaled_cutout"
    UPSCALED = "upscaled"


class ImageSize(StrEnum):
    """Size classes of the placed picture."""

    ONE_K = "1K"
    TWO_K = "2K"
    FOUR_K = "4K"


class ThinkingLevel(StrEnum):
    """How long the image model thinks before it draws."""

    MINIMAL = "minimal"
    MEDIUM = "medium"
    HIGH = "high"


class LogLevel(StrEnum):
    """Levels of the events in ``logs``."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class CredentialsState(StrEnum):
    """How far a manifest, or a chain of them, can be believed."""

    NONE = "none"
    TRUSTED = "trusted"
    VALID = "valid"
    BROKEN = "broken"


class ApiModel(BaseModel):
    """Base of what the API sends. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """What the API sent."""
        return self.model_dump(mode="json", exclude_unset=True)


class Reason(ApiModel):
    """Why a job or a stage ended, or waits."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class StageStatus(ApiModel):
    """One stage of a job. ``state`` is text: a newer API may know states that this client does not."""

    stage: str
    state: str
    attempt: int = 0
    repeat_reason: str | None = None
    duration_ms: float | None = None
    waited_ms: float | None = None
    cost_usd: float = 0.0
    cached: bool = False
    started_at: str | None = None
    waiting_until: str | None = None
    queue_ahead: int | None = None
    tiles_done: int | None = None
    tiles_total: int | None = None
    expected_s: float | None = None
    output: str | None = None
    error: Reason | None = None


class JobStatus(ApiModel):
    """A job. ``filename`` is that of the photo; times are ISO 8601 in UTC."""

    job_id: str
    state: str
    source: str
    created_at: str
    stage: str | None = None
    progress: float = 0.0
    cost_usd: float = 0.0
    estimated_usd: float | None = None
    filename: str | None = None
    error: Reason | None = None
    stages: list[StageStatus] = []

    @property
    def has_ended(self) -> bool:
        """True when nothing changes any more without a request."""
        return self.state in ENDED


class JobPage(ApiModel):
    """A page of jobs, newest first. ``cursor`` asks for the next page; None on the last one."""

    jobs: list[JobStatus]
    cursor: str | None = None


class Accepted(ApiModel):
    """The job that a request started or found."""

    job_id: str
    state: str


class Quote(ApiModel):
    """What pictures cost by the prices of now, and what is left of today's money."""

    count: int
    price_usd: float
    total_usd: float
    remaining_usd: float
    fits: bool


class LogEvent(ApiModel):
    """One event of a job."""

    id: int
    timestamp: str
    level: str
    event: str
    job_id: str | None = None
    stage: str | None = None


class Today(ApiModel):
    """The budget of this UTC day."""

    day: str
    budget_usd: float
    committed_usd: float
    remaining_usd: float


class SpendSums(ApiModel):
    """USD of one day or one user."""

    name: str
    pictures: int
    settled_usd: float
    unknown_usd: float
    open_usd: float


class ModelSpend(ApiModel):
    """USD of the pictures of one model and size class."""

    model: str
    size: str
    pictures: int
    settled_usd: float
    unknown_usd: float
    open_usd: float


class AvoidedSpend(ApiModel):
    """What was not paid, by reason."""

    reason: str
    pictures: int
    usd: float


class UnknownSpend(ApiModel):
    """A call that may have been charged."""

    job_id: str
    usd: float
    note: str | None = None


class Spend(ApiModel):
    """What was paid, what was not, and why."""

    price_usd: float
    today: Today
    days: list[SpendSums]
    users: list[SpendSums]
    models: list[ModelSpend] = []
    avoided: list[AvoidedSpend]
    unknown: list[UnknownSpend]


class CredentialAction(ApiModel):
    """One thing that was done to a picture, as its signer says."""

    action: str
    software_agent: str | None = None
    digital_source_type: str | None = None


class Manifest(ApiModel):
    """One signed statement."""

    signer: str | None = None
    issuer: str | None = None
    claim_generator: str | None = None
    actions: list[CredentialAction] = []


class Ingredient(ApiModel):
    """A picture that went into another one; the tree is listed depth first."""

    depth: int
    relationship: str
    state: CredentialsState
    title: str | None = None
    content_type: str | None = None
    manifest: Manifest | None = None


class Credentials(ApiModel):
    """What a file says of where it comes from."""

    state: CredentialsState
    reasons: list[str] = []
    manifest: Manifest | None = None
    ingredients: list[Ingredient] = []
    is_cut: bool = False
    says_ai: bool = False
