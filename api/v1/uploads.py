"""``POST /uploads``: a link that lets a browser write one blob straight into ``uploads``."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from fastapi import APIRouter
from pydantic import Field

from api.auth import Caller
from api.errors import ApiError
from api.guarded import in_waiting_thread
from api.intake import CALLBACK_DESCRIPTION, check_offered, check_prompt, checked_callback
from api.price_limit import check_price
from api.problems import problems
from api.views import View
from imagery.contracts import UPLOADS, BlobRef, JobOptions
from imagery.file_names import file_name
from imagery.services import Services, get_services
from imagery.storage import LINK_LIFETIME_S, LinkUnsupportedError
from lifecycle.takeover import TICKET_PREFIX

router = APIRouter(tags=["uploads"])
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class UploadRequest(JobOptions):
    """What will be uploaded, and what its job shall do."""

    filename: str = Field(min_length=1, max_length=255)
    content_type: str = Field(pattern=r"^[\w.+-]{1,48}/[\w.+-]{1,48}$", examples=["image/jpeg"])
    size: int = Field(gt=0, description="Bytes of the file; an upload of another size is rejected.")
    start: bool = Field(
        True, strict=True, description="False: no job starts until a request or a batch names the blob."
    )
    callback_url: str | None = Field(default=None, max_length=2048, description=CALLBACK_DESCRIPTION)


class UploadLink(View):
    """PUT the bytes to `url` with these headers; unless `start` is false the job starts by itself,
    and `GET /jobs?source=` finds it.
    """

    url: str
    blob: str
    headers: dict[str, str]
    expires_at: datetime


@router.post("/uploads", status_code=201, responses=problems(400, 402, 403, 409, 422, 429))
async def create_upload(request: UploadRequest, caller: Caller) -> UploadLink:
    """Create a link that writes one blob, once, within a quarter of an hour."""
    services = get_services()
    most = services.settings.guardrail.max_upload_bytes
    if request.size > most:
        raise ApiError(
            413,
            "file_too_large",
            f"The file has {request.size} bytes, the limit is {most}. Send a smaller one.",
        )
    check_prompt(request.prompt)
    check_offered(request)
    check_price(request)
    return await in_waiting_thread(_ticket, services, request, caller.user_id)


def _ticket(services: Services, request: UploadRequest, owner_id: str) -> UploadLink:
    services.quotas.check_ticket(services.database, owner_id, request)
    url = checked_callback(request.callback_url)
    ticket_id = f"{'' if request.start else TICKET_PREFIX}{uuid.uuid4()}"
    plain = _UNSAFE.sub("-", PurePosixPath(request.filename.replace("\\", "/")).name).strip(".-")
    ref = BlobRef(container=UPLOADS, name=f"{owner_id}/{ticket_id}/{plain or 'image'}")
    try:
        link = services.storage.write_link(ref, LINK_LIFETIME_S)
    except LinkUnsupportedError:
        detail = "This storage can't make links. Send the file to POST /api/v1/process instead."
        raise ApiError(409, "link_unsupported", detail) from None
    ticket = services.tickets.add(
        ticket_id,
        owner_id=owner_id,
        blob_name=ref.name,
        file_name=file_name(request.filename),
        size_bytes=request.size,
        content_type=request.content_type,
        options=JobOptions.model_validate(request.model_dump()),
        callback_url=url,
        lifetime=timedelta(seconds=LINK_LIFETIME_S),
    )
    return UploadLink(
        url=link,
        blob=ref.path,
        headers={"x-ms-blob-type": "BlockBlob", "Content-Type": request.content_type},
        expires_at=ticket.expires_at,
    )
