"""``POST /guardrail/validate``: the verdict without a job."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from api.auth import current_owner
from api.problems import PROBLEM_RESPONSES
from imagery.contracts import DEFAULT_PROMPT, GuardrailReport, JobOptions
from imagery.database.guardrail_log import log_verdict
from imagery.guardrail import examine
from imagery.services import get_services

router = APIRouter(prefix="/guardrail", tags=["guardrail"], responses=PROBLEM_RESPONSES)


@router.post("/validate")
async def validate(
    file: Annotated[UploadFile, File(description="The image.")],
    prompt: Annotated[str, Form()] = DEFAULT_PROMPT,
) -> GuardrailReport:
    """Examine an image as a job would; 200 for both verdicts, each check with value and limit."""
    data = await file.read()
    return await asyncio.to_thread(_validate, data, file.content_type, prompt, current_owner())


def _validate(data: bytes, content_type: str | None, prompt: str, owner: str) -> GuardrailReport:
    services = get_services()
    report = examine(data, content_type, JobOptions(prompt=prompt), services.settings).report
    log_verdict(services.database, report, owner_id=owner, size_bytes=len(data))
    return report
