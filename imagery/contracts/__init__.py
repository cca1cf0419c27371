"""Every message that passes between rooms: small, frozen, versionable pydantic models.

Messages carry blob names, never pixels. A new field needs a default, so that a message written by
the previous version can still be read by instances that are in flight during a deployment.
"""

from imagery.contracts.gpu import GpuHealth, GpuProgress, GpuQueue, GpuReport, GpuRequest, GpuTicket
from imagery.contracts.jobs import (
    DEFAULT_PROMPT,
    JOBS,
    OPEN_STATES,
    TERMINAL_STATES,
    UPLOADS,
    AspectRatio,
    BlobRef,
    ImageSize,
    JobOptions,
    JobRequest,
    JobState,
    Stage,
    StageState,
    stage_output,
)
from imagery.contracts.message import JsonObject, Message
from imagery.contracts.reports import CheckResult, GuardrailReport, Problem
from imagery.contracts.workflow import (
    BatchInput,
    BatchItem,
    CallbackInput,
    CallbackOrder,
    CallbackOutcome,
    FinishInput,
    JobSummary,
    PipelineInput,
    PipelineStatus,
    RetryPolicy,
    StageInput,
    StageOutcome,
    StageResult,
)

__all__ = [
    "DEFAULT_PROMPT",
    "JOBS",
    "OPEN_STATES",
    "TERMINAL_STATES",
    "UPLOADS",
    "AspectRatio",
    "BatchInput",
    "BatchItem",
    "BlobRef",
    "CallbackInput",
    "CallbackOrder",
    "CallbackOutcome",
    "CheckResult",
    "FinishInput",
    "GpuHealth",
    "GpuProgress",
    "GpuQueue",
    "GpuReport",
    "GpuRequest",
    "GpuTicket",
    "GuardrailReport",
    "ImageSize",
    "JobOptions",
    "JobRequest",
    "JobState",
    "JobSummary",
    "JsonObject",
    "Message",
    "PipelineInput",
    "PipelineStatus",
    "Problem",
    "RetryPolicy",
    "Stage",
    "StageInput",
    "StageOutcome",
    "StageResult",
    "StageState",
    "stage_output",
]
