"""``POST /uploads``: a link that lets a browser write one blob straight into ``uploads``."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.errors import ApiError
from api.problems import PROBLEM_RESPONSES
from imagery.contracts import UPLOADS, BlobRef
from imagery.database.tables import utc_now
from imagery.services import get_services
from imagery.storage import LinkUnsupportedError

router = APIRouter(tags=["uploads"], responses=PROBLEM_RESPONSES)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class UploadRequest(BaseModel):
    """What will be uploaded. ``size`` in bytes."""

    filename: str = Field(min_length=1, max_length=255)
    content_type: str = Field(max_length=100, examples=["image/jpeg"])
    size: int = Field(gt=0)


class UploadTicket(BaseModel):
    """PUT the bytes to ``url`` with the headers; the job starts by itself."""

    url: str
    blob: str
    headers: dict[str, str]
    expires_at: datetime


@router.post("/uploads", status_code=201)
async def uploads(request: UploadRequest) -> UploadTicket:
    """A write-only link for one blob, valid for a quarter of an hour."""
    settings = get_services().settings
    if request.size > settings.max_upload_bytes:
        detail = f"The file has {request.size} bytes, the limit is {settings.max_upload_bytes}."
        raise ApiError(413, "file_too_large", detail)
    plain = _UNSAFE.sub("-", PurePosixPath(request.filename.replace("\\", "/")).name).strip(".-")
    ref = BlobRef(container=UPLOADS, name=f"{uuid.uuid4()}/{plain or 'image'}")
    try:
        url = await asyncio.to_thread(get_services().storage.write_link, ref, settings.sas_lifetime_s)
    except LinkUnsupportedError:
        detail = "This storage hands out no links. Send the file to POST /api/v1/process instead."
        raise ApiError(409, "link_unsupported", detail) from None
    return UploadTicket(
        url=url,
        blob=ref.path,
        headers={"x-ms-blob-type": "BlockBlob", "Content-Type": request.content_type},
        expires_at=utc_now() + timedelta(seconds=settings.sas_lifetime_s),
    )
