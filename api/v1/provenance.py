"""``POST /provenance/verify``: what a file says of where it comes from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, UploadFile

from api.auth import Caller
from api.guarded import in_waiting_thread
from api.pace import verifications
from api.problems import problems
from imagery.guardrail.turns import Rank, Turn
from imagery.provenance.credentials import Credentials
from imagery.services import get_services

router = APIRouter(prefix="/provenance", tags=["provenance"])


@router.post("/verify", responses=problems(400, 422, 429))
async def verify_file(
    caller: Caller,
    file: Annotated[UploadFile, File(description="A file of any kind.")],
) -> Credentials:
    """Read a file's Content Credentials (C2PA): who signed it, what was done, and what it was made from.

    Nothing is kept, and nothing is fetched: a manifest that lies at another host counts as none. A file
    without credentials is a 200 too.
    """
    if not caller.sees_everything:
        verifications.check(caller.user_id)
    data = await file.read()
    return await in_waiting_thread(_verify, data, caller.user_id)


def _verify(data: bytes, owner: str) -> Credentials:
    return get_services().guardrail.credentials(data, Turn(owner, Rank.VALIDATION))
