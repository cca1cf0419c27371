"""``POST /guardrail/validate``: the verdict without a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import BaseModel

from api.auth import Caller
from api.guarded import in_waiting_thread
from imagery.contracts import DEFAULT_PROMPT, GuardrailReport, JobOptions
from imagery.database.guardrail_log import log_verdict
from imagery.guardrail.limits import Limits
from imagery.services import get_services

router = APIRouter(prefix="/guardrail", tags=["guardrail"])


class LimitsView(BaseModel):
    """What is admitted, for those who want to know before they send."""

    formats: list[str]
    max_bytes: int
    min_side_px: int
    max_side_px: int
    max_megapixels: float
    max_frames: int
    max_prompt_chars: int


@router.get("/limits")
def limits(_: Caller) -> LimitsView:
    """The limits of the guardrail that a sender can keep to."""
    found = Limits.of(get_services().settings)
    return LimitsView(
        formats=list(found.allowed_formats),
        max_bytes=found.max_upload_bytes,
        min_side_px=found.min_side_px,
        max_side_px=found.max_side_px,
        max_megapixels=found.max_input_megapixels,
        max_frames=found.max_frames,
        max_prompt_chars=found.max_prompt_chars,
    )


@router.post("/validate")
async def validate(
    caller: Caller,
    file: Annotated[UploadFile, File(description="The image.")],
    prompt: Annotated[str, Form()] = DEFAULT_PROMPT,
) -> GuardrailReport:
    """Examine an image as a job would; 200 for both verdicts, each check with value and limit."""
    data = await file.read()
    return await in_waiting_thread(_validate, data, file.content_type, prompt, caller.user_id)


def _validate(data: bytes, content_type: str | None, prompt: str, owner: str) -> GuardrailReport:
    services = get_services()
    report = services.guardrail.examine(data, content_type, JobOptions(prompt=prompt)).report
    log_verdict(services.database, report, owner_id=owner, size_bytes=len(data))
    return report
