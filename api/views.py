"""How the API shows jobs: the models of its responses."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.picture_names import photo_name
from imagery.contracts import (
    AspectRatio,
    CheckResult,
    GpuProgress,
    ImageSize,
    JobOptions,
    JobOutput,
    JobState,
    Stage,
    StageState,
    ThinkingLevel,
)
from imagery.database.callbacks import CallbackState
from imagery.database.job_views import JobView
from imagery.database.money import to_usd
from imagery.database.tables import CallbackDelivery, GuardrailLog, ImageJob, StageRun
from imagery.provenance.credentials import DeliveredCredentials
from imagery.provenance.signer import SIGNING_CODES
from imagery.services import get_services


class View(BaseModel):
    """Base of what the API returns: fields with a default are always there, and OpenAPI says so."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class JobError(View):
    """Why a job or a stage ended, or waits."""

    code: str
    message: str
    stage: str | None = None


class StageStatus(View):
    """One stage of a job."""

    stage: Stage
    state: StageState
    attempt: int = Field(description="How often the stage was started.")
    repeat_reason: str | None = Field(default=None, description="Why it was started again, if it was.")
    restarts: int = Field(default=0, description="How often another GPU replica took it over.")
    duration_ms: float | None = Field(default=None, description="Of the work, without waiting at the GPU.")
    waited_ms: float | None = Field(default=None, description="While the GPU worked for others.")
    vram_used_gb: float | None = None
    cost_usd: float = 0.0
    cached: bool = Field(default=False, description="Taken over from an earlier job with the same input.")
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_until: datetime | None = None
    queue_ahead: int | None = Field(
        default=None, description="Jobs before this one at the GPU while it waits there."
    )
    tiles_done: int | None = Field(default=None, description="While upscaling.")
    tiles_total: int | None = None
    expected_s: float | None = Field(default=None, description="Seconds to the expected end at the GPU.")
    output: str | None = Field(default=None, description="Link to the stage's picture.")
    error: JobError | None = None


class CallbackStatus(View):
    """The delivery of a job's callback; `failed` means that it was given up."""

    url: str
    state: CallbackState
    attempts: int
    last_status: int | None = Field(default=None, description="HTTP status of the last attempt.")
    last_error: str | None = None
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None


class JobLinks(View):
    """Paths of the API for this job."""

    self: str
    events: str
    cancel: str
    retry: str
    result: str | None = Field(default=None, description="Picture of the last stage, once it is there.")


class JobStatus(View):
    """A job: its state, its stages, and what it cost."""

    job_id: str
    state: JobState
    stage: Stage | None = None
    progress: float = Field(ge=0, le=1, description="Share of its stages that are done.")
    batch_id: str | None = None
    source: str
    filename: str | None = Field(default=None, description="Name that the photo came with.")
    output: JobOutput = Field(description="What the job makes.")
    scaled_from_mp: float | None = Field(
        default=None, description="Megapixels of the photo, if the stages work with fewer."
    )
    prompt: str
    aspect_ratio: AspectRatio
    image_size: ImageSize
    thinking_level: ThinkingLevel | None = None
    seed: int | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    expired_at: datetime | None = Field(default=None, description="Since then the pictures are gone.")
    error: JobError | None = None
    credentials: DeliveredCredentials | None = Field(
        default=None,
        description="Content Credentials of the placed picture: `trusted`, `valid` or `broken` if it is "
        "signed here, `unsigned`, `untouched` (with those of the image model's provider alone), or `waiting` "
        "for its signature. Null: no picture yet, or none is signed here.",
    )
    cost_usd: float
    estimated_usd: float | None = Field(
        default=None, description="What the picture is expected to cost while it is not there yet."
    )
    run: int
    stages: list[StageStatus] = Field(description="Those that make the output, in order.")
    callback: CallbackStatus | None = None
    links: JobLinks


class GuardrailVerdict(View):
    """What the guardrail measured on a job's picture."""

    job_id: str
    verdict: Literal["admitted", "rejected"]
    code: str | None = None
    message: str
    checked_at: datetime
    duration_ms: float
    checks: list[CheckResult]


class JobPage(View):
    """A page of jobs, newest first."""

    jobs: list[JobStatus]
    cursor: str | None = Field(default=None, description="Pass it back as ?cursor= for the next page.")


class AcceptedJob(View):
    """The job that a request started or found."""

    job_id: str
    state: JobState
    status: JobState = Field(deprecated=True, description="The same as `state`.")
    links: JobLinks


def image_path(job_id: str, stage: Stage) -> str:
    """The URL path of a stage's picture."""
    return f"/api/v1/jobs/{job_id}/images/{stage.value}"


def links(job: ImageJob) -> JobLinks:
    """The links of a job."""
    job_id, output = job.job_id, JobOptions.from_json(job.options).output
    has_result = JobState(job.state) is JobState.COMPLETED and job.expired_at is None
    return JobLinks(
        self=f"/api/v1/status/{job_id}",
        events=f"/api/v1/logs?job_id={job_id}",
        cancel=f"/api/v1/jobs/{job_id}/cancel",
        retry=f"/api/v1/jobs/{job_id}/retry",
        result=image_path(job_id, output.result) if has_result else None,
    )


def accepted(job: ImageJob) -> AcceptedJob:
    """The short form of a job."""
    state = JobState(job.state)
    return AcceptedJob(job_id=job.job_id, state=state, status=state, links=links(job))


def guardrail_verdict(row: GuardrailLog, job_id: str) -> GuardrailVerdict:
    """A stored verdict as the API shows it."""
    return GuardrailVerdict.model_validate(
        {**row.model_dump(exclude={"job_id"}), "job_id": job_id, "checked_at": row.created_at}
    )


def job_status(view: JobView, progress: GpuProgress | None = None) -> JobStatus:
    """The long form of a job, with each of its stages, also those that have not begun."""
    job, rows = view.job, {row.stage: row for row in view.stages}
    state = JobState(job.state)
    options = JobOptions.model_validate(job.options)
    stages = [_stage(job, stage, rows.get(stage.value)) for stage in options.output.stages]
    if progress is not None:
        stages = [_with_progress(stage, progress) for stage in stages]
    done = sum(stage.state is StageState.SUCCEEDED for stage in stages)
    return JobStatus(
        job_id=job.job_id,
        state=state,
        stage=Stage(job.stage) if job.stage else None,
        progress=done / len(stages),
        batch_id=job.batch_id,
        source=f"{job.source_container}/{job.source_name}",
        filename=photo_name(job),
        scaled_from_mp=job.scaled_from_mp,
        output=options.output,
        prompt=options.prompt,
        aspect_ratio=options.aspect_ratio,
        image_size=options.image_size,
        thinking_level=options.thinking_level,
        seed=options.seed,
        created_at=job.created_at,
        updated_at=job.updated_at,
        finished_at=job.finished_at,
        expired_at=job.expired_at,
        error=_error(job.error_code, job.error_message, job.stage),
        credentials=_credentials(rows.get(Stage.NANO_BANANA.value)),
        cost_usd=round(sum(stage.cost_usd for stage in stages), 6),
        estimated_usd=_estimate(state, options, stages),
        run=job.run,
        stages=stages,
        callback=_callback(view.callback),
        links=links(job),
    )


def _credentials(row: StageRun | None) -> DeliveredCredentials | None:
    if row is None:
        return None
    if row.state == StageState.WAITING and row.error_code in SIGNING_CODES:
        return DeliveredCredentials.WAITING
    return DeliveredCredentials(row.credentials) if row.credentials else None


def _estimate(state: JobState, options: JobOptions, stages: list[StageStatus]) -> float | None:
    is_there = any(
        stage.stage is Stage.NANO_BANANA and stage.state is StageState.SUCCEEDED for stage in stages
    )
    if state.is_terminal or is_there:
        return None
    return to_usd(get_services().settings.nano_banana.price_table.of_options(options))


def _stage(job: ImageJob, stage: Stage, row: StageRun | None) -> StageStatus:
    if row is None:
        return StageStatus(stage=stage, state=StageState.PENDING, attempt=0)
    state = StageState(row.state)
    is_there = state is StageState.SUCCEEDED and job.expired_at is None
    return StageStatus(
        stage=stage,
        state=state,
        attempt=row.attempt,
        repeat_reason=row.repeat_reason,
        restarts=row.restarts,
        waited_ms=row.waited_ms,
        duration_ms=row.duration_ms,
        vram_used_gb=row.vram_used_gb,
        cost_usd=row.cost_usd,
        cached=row.cached,
        started_at=row.started_at,
        finished_at=row.finished_at,
        waiting_until=row.waiting_until,
        output=image_path(job.job_id, stage) if is_there else None,
        error=_error(row.error_code, row.error_message, stage.value),
    )


def _with_progress(stage: StageStatus, progress: GpuProgress) -> StageStatus:
    if stage.stage is not progress.stage or stage.state is not StageState.RUNNING:
        return stage
    return stage.model_copy(
        update={
            "queue_ahead": progress.ahead or None,
            "tiles_done": progress.tiles_done,
            "tiles_total": progress.tiles_total,
            "expected_s": progress.expected_s,
        }
    )


def _callback(row: CallbackDelivery | None) -> CallbackStatus | None:
    if row is None:
        return None
    state = CallbackState(row.state)
    return CallbackStatus(
        url=row.url,
        state=state,
        attempts=row.attempts,
        last_status=row.last_status,
        last_error=row.last_error,
        next_attempt_at=row.next_attempt_at if state is CallbackState.PENDING else None,
        delivered_at=row.delivered_at,
    )


def _error(code: str | None, message: str | None, stage: str | None) -> JobError | None:
    return JobError(code=code, message=message or code, stage=stage) if code else None
