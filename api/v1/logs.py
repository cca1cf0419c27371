"""``GET /logs``: what happened, as Server-Sent Events that end and resume, or as JSON lines."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from api.auth import Caller
from api.v1.status import load
from imagery import __version__
from imagery.contracts import Stage
from imagery.database.events import events_after
from imagery.database.tables import JobEvent
from imagery.services import get_services

router = APIRouter(tags=["operations"])
_PAGE = 500
_LOOK_EVERY_S = 0.3
_RECONNECT_MS = 500
_NDJSON = "application/x-ndjson"
_MAX_ID = 2**63 - 1


class LogQuery(BaseModel):
    """Which events."""

    job_id: str | None = Field(default=None, max_length=64)
    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None, description="This level and above."
    )
    stage: Stage | None = None
    after: int = Field(default=0, ge=0, le=_MAX_ID, description="Only events with a greater id.")
    wait: float | None = Field(default=None, ge=0, description="Seconds to wait for the first event.")


@router.get("/logs", response_class=Response)
async def logs(
    caller: Caller,
    query: Annotated[LogQuery, Query()],
    accept: Annotated[str, Header()] = "text/event-stream",
    last_event_id: Annotated[str, Header(pattern=r"^[0-9]{0,18}$")] = "",
) -> Response:
    """Events after ``after`` (or `Last-Event-ID`). The answer ends; EventSource reconnects by itself."""
    if query.job_id is not None:
        await load(query.job_id, caller)
    lines = _NDJSON in accept
    longest = get_services().settings.logs_wait_s
    patience = min(query.wait if query.wait is not None else (0.0 if lines else longest), longest)
    if last_event_id:
        query = query.model_copy(update={"after": int(last_event_id)})
    events = await _wait_for_events(query, patience, caller.scope)
    if lines:
        body = "".join(json.dumps(_line(event)) + "\n" for event in events)
        return Response(body, media_type=_NDJSON)
    body = f"retry: {_RECONNECT_MS}\n\n" + "".join(
        f"id: {event.id}\ndata: {json.dumps(_line(event))}\n\n" for event in events
    )
    return Response(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _wait_for_events(query: LogQuery, patience_s: float, owner_id: str | None) -> list[JobEvent]:
    until = time.monotonic() + patience_s
    while True:
        events = await asyncio.to_thread(
            events_after,
            get_services().database,
            query.after,
            _PAGE,
            owner_id=owner_id,
            job_id=query.job_id,
            level=query.level,
            stage=query.stage.value if query.stage else None,
        )
        if events or time.monotonic() >= until:
            return events
        await asyncio.sleep(_LOOK_EVERY_S)


def _line(event: JobEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "timestamp": event.at.isoformat(),
        "level": event.level,
        "event": event.event,
        "job_id": event.job_id,
        "version": __version__,
        "stage": event.stage,
        **event.data,
    }
