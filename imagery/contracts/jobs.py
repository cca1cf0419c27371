"""Jobs: their stages and states, what a caller may choose, and where pictures lie."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from imagery.contracts.message import Message


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


def paid_answer(job_id: str, stage: Stage, run: int) -> BlobRef:
    """Where the bytes of a paid answer are kept untouched: a name for each run, of which each may pay once.

    That the blob is there means that this run's call was answered. No user's route leads to it.
    """
    name = _OUTPUT_NAMES[stage].removesuffix(".png")
    return BlobRef(container=JOBS, name=f"{job_id}/{name}-{run}.answer")


def taken_answer(job_id: str, stage: Stage) -> BlobRef:
    """Where a copy of the paid answer is kept by a job that took the picture over from an earlier one."""
    name = _OUTPUT_NAMES[stage].removesuffix(".png")
    return BlobRef(container=JOBS, name=f"{job_id}/{name}-taken.answer")


def statement_of(source: BlobRef) -> BlobRef:
    """Where the Content Credentials of a photo are kept of which only the clean copy ``source`` is."""
    name = f"{source.name.removesuffix('.png')}.credentials.json"
    return BlobRef(container=source.container, name=name)


class AspectRatio(StrEnum):
    """Aspect ratios of the placed picture; not every image model makes the last four."""

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


class ImageSize(StrEnum):
    """Size classes of the placed picture that the image model accepts."""

    K1 = "1K"
    K2 = "2K"
    K4 = "4K"


class ThinkingLevel(StrEnum):
    """How long the image model thinks before it draws."""

    MINIMAL = "minimal"
    MEDIUM = "medium"
    HIGH = "high"


class JobOutput(StrEnum):
    """What a job makes: the stages that it runs, of which the last one makes its result."""

    SCENE = "scene"
    CUTOUT = "cutout"
    UPSCALED_CUTOUT = "upscaled_cutout"
    UPSCALED = "upscaled"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that run, in order."""
        return _OUTPUT_STAGES[self]

    @property
    def result(self) -> Stage:
        """The stage whose picture is the job's result."""
        return self.stages[-1]

    @property
    def has_scene(self) -> bool:
        """True for what the paid model makes; everything else costs nothing."""
        return Stage.NANO_BANANA in self.stages

    def source_of(self, stage: Stage) -> Stage:
        """The stage whose picture ``stage`` reads. Raises ``ValueError`` for one that does not run."""
        return self.stages[self.stages.index(stage) - 1]


_OUTPUT_STAGES = {
    JobOutput.SCENE: tuple(Stage),
    JobOutput.CUTOUT: (Stage.GUARDRAIL, Stage.REMBG),
    JobOutput.UPSCALED_CUTOUT: (Stage.GUARDRAIL, Stage.REMBG, Stage.REALESRGAN),
    JobOutput.UPSCALED: (Stage.GUARDRAIL, Stage.REALESRGAN),
}


MAX_SEED = 2**31 - 1
DEFAULT_PROMPT = (
    "Place the subject on a light oak table in a bright room with soft daylight from the left, "
    "with a natural contact shadow. Keep the subject unchanged."
)


def _no_boolean(value: object) -> object:
    """Forms send text for everything; JSON has numbers, and ``false`` is not a limit of 0."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


def _no_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("Input should be true or false")
    return value


# what pydantic would take besides: true and false as numbers, and the other way round
NotBoolean = BeforeValidator(_no_boolean)
NotNumber = BeforeValidator(_no_number)


class JobOptions(Message):
    """What a caller may choose for a job."""

    output: JobOutput = Field(
        default=JobOutput.SCENE,
        description="What is made: `scene`, which is paid, or for nothing `cutout`, `upscaled_cutout` (4x) "
        "or `upscaled` (4x, with its background).",
    )
    prompt: str = Field(default=DEFAULT_PROMPT, description="The scene in which the cut-out is placed.")
    aspect_ratio: AspectRatio = Field(
        default=AspectRatio.SQUARE, description="Aspect ratio of the placed picture."
    )
    image_size: ImageSize = Field(default=ImageSize.K1, description="Size class of the placed picture.")
    thinking_level: ThinkingLevel | None = Field(
        default=None, description="How long the image model thinks; left out, it decides by itself."
    )
    seed: Annotated[int | None, NotBoolean] = Field(
        default=None,
        ge=0,
        le=MAX_SEED,
        description="The same seed makes it likelier that the same request brings the same picture.",
    )
    fresh: Annotated[bool, NotNumber] = Field(
        default=False,
        description="Compute and pay again even if an earlier job has the same result.",
    )
    max_usd: Annotated[float | None, NotBoolean] = Field(
        default=None,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="Most that the picture may cost, USD: above it nothing is started, and nothing is paid.",
    )

    @property
    def without_limit(self) -> Self:
        """What is asked for, without the condition on its price: the same picture either way."""
        return self.model_copy(update={"max_usd": None})


class JobRequest(Message):
    """What every entrance (blob upload, HTTP, batch) reduces to."""

    job_id: str
    source: BlobRef
    owner_id: str
    options: JobOptions = JobOptions()
    file_name: str | None = None
    scaled_from_mp: float | None = None
    content_type: str | None = None
    request_hash: str = ""
    batch_id: str | None = None
    callback_url: str | None = None
