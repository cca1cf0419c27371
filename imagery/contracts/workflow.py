"""What orchestrators and activities send each other. Messages carry blob names, never pixels."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from imagery.contracts.jobs import BlobRef, JobState, Stage
from imagery.contracts.message import Message


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
    """Input of the ``image_pipeline`` orchestrator. All it decides by is in here: it reads no settings.

    ``stages``: those that run; None: all four.
    """

    job_id: str
    run: int = 1
    deadline: datetime
    gpu_retry: RetryPolicy
    nano_banana_retry: RetryPolicy
    records_retry: RetryPolicy
    max_waits: int = 200
    stages: tuple[Stage, ...] | None = None


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
    """Input of a stage's activity. ``waits``: how often the stage has been asked to wait before."""

    job_id: str
    run: int
    stage: Stage
    deadline: datetime
    waits: int = 0


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


BatchInput.model_rebuild()
