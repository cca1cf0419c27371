"""``POST /guardrail/validate``: the verdict without a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import Field

from api.auth import Caller
from api.guarded import in_waiting_thread
from api.pace import validations
from api.problems import problems
from api.views import View
from imagery.contracts import DEFAULT_PROMPT, AspectRatio, GuardrailReport, JobOptions, ThinkingLevel
from imagery.database.guardrail_log import log_verdict
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.turns import Rank, Turn
from imagery.providers.models import abilities_of
from imagery.services import get_services

router = APIRouter(prefix="/guardrail", tags=["guardrail"])


class GuardrailLimits(View):
    """What the guardrail admits: a client can check it before it sends a photo."""

    formats: list[str]
    max_bytes: int
    min_side_px: int
    max_side_px: int
    max_megapixels: float = Field(description="A photo of more than `working_megapixels` is scaled down.")
    working_megapixels: float = Field(description="Most that the stages work with.")
    max_frames: int
    max_prompt_chars: int
    aspect_ratios: list[AspectRatio] = Field(description="Those that the configured image model makes.")
    thinking_levels: list[ThinkingLevel] = Field(description="Those that it has; often none.")


@router.get("/limits")
def get_guardrail_limits(_: Caller) -> GuardrailLimits:
    """Get the limits of the guardrail that a client can check by itself."""
    settings = get_services().settings
    found, model = PictureLimits.of(settings), abilities_of(settings.nano_banana.model)
    return GuardrailLimits(
        formats=list(found.allowed_formats),
        max_bytes=found.max_upload_bytes,
        min_side_px=found.min_side_px,
        max_side_px=found.max_side_px,
        max_megapixels=found.max_megapixels,
        working_megapixels=found.working_megapixels,
        max_frames=found.max_frames,
        max_prompt_chars=found.max_prompt_chars,
        aspect_ratios=model.aspect_ratios,
        thinking_levels=[level for level in ThinkingLevel if level in model.thinking_levels],
    )


@router.post("/validate", responses=problems(400, 403, 422, 429, 503))
async def validate_image(
    caller: Caller,
    file: Annotated[UploadFile, File(description="The image.")],
    prompt: Annotated[str, Form()] = DEFAULT_PROMPT,
) -> GuardrailReport:
    """Examine an image as a job would, without starting one.

    Both verdicts are a 200; each check comes with what it measured and its limit.
    """
    if not caller.sees_everything:
        validations.check(caller.user_id)
    data = await file.read()
    return await in_waiting_thread(_validate, data, file.content_type, prompt, caller.user_id)


def _validate(data: bytes, content_type: str | None, prompt: str, owner: str) -> GuardrailReport:
    services = get_services()
    turn = Turn(owner, Rank.VALIDATION)
    report = services.guardrail.examine(data, content_type, JobOptions(prompt=prompt), turn=turn).report
    log_verdict(services.database, report, owner_id=owner, size_bytes=len(data))
    return report
