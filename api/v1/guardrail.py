"""``POST /guardrail/validate``: the verdict without a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from api.auth import Caller
from api.guarded import in_waiting_thread
from imagery.contracts import DEFAULT_PROMPT, GuardrailReport, JobOptions
from imagery.database.guardrail_log import log_verdict
from imagery.services import get_services

router = APIRouter(prefix="/guardrail", tags=["guardrail"])


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
