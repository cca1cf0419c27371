"""``GET /logs``: what happened, as Server-Sent Events that end and resume, or as JSON lines.

A host that buffers a response delivers it when it is complete. So each response ends with the first events
that come, or after the longest wait; its ``id:`` lines say where the next one begins.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from api.auth import Caller
from api.guarded import in_search_thread
from api.problems import Responses, problems
from api.v1.status import load
from api.waiting import come_again_s, waiting_room
from imagery import __version__
from imagery.contracts import Stage
from imagery.database.events import EventFilter, EventPage, events_after, last_events
from imagery.database.tables import JobEvent
from imagery.services import Services, get_services

router = APIRouter(tags=["operations"])
_SSE, _NDJSON = "text/event-stream", "application/x-ndjson"
_MAX_ID = 2**63 - 1
_MOST = 10_000
# most events at once
_PAGE = 500
# latest events that a stream begins with when it names no place
_TAIL = 200
# events that one query looks through for level, stage or text
_SCAN_EVENTS = 20_000
# pause of an EventSource before it connects again
_RECONNECT_MS = 500


class LogQuery(BaseModel):
    """Which events."""

    job_id: str | None = Field(default=None, max_length=64)
    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None, description="This level and above."
    )
    stage: Stage | None = None
    q: str | None = Field(
        default=None,
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="Text that the event's name, error or error code holds, in any case.",
    )
    after: int | None = Field(
        default=None, ge=0, le=_MAX_ID, description="Only events with a greater id, the oldest first."
    )
    tail: int | None = Field(
        default=None,
        ge=0,
        le=_MOST,
        description="Without `after`: begin with this many of the latest events. "
        "A stream begins with 200 of them, JSON lines begin with the oldest event.",
    )
    wait: float | None = Field(default=None, ge=0, description="Seconds to wait for the first event.")


_EVENTS: Responses = {
    200: {
        "description": "The events.",
        # no schema for a stream of events: OpenAPI 3.1 can't say whether it means the text or one event
        "content": {_SSE: {}, _NDJSON: {"schema": {"type": "string"}}},
        "headers": {"X-Last-Event-ID": {"required": True, "schema": {"type": "string"}}},
    }
}


@router.get("/logs", response_class=Response, responses={**_EVENTS, **problems(404, 422)})
async def read_logs(
    caller: Caller,
    query: Annotated[LogQuery, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = _SSE,
    last_event_id: Annotated[str, Header(pattern=r"^[0-9]{0,18}$")] = "",
) -> Response:
    """Read the log as Server-Sent Events or as JSON lines.

    Returns the events after `Last-Event-ID`, else after `after`, else the latest `tail`, up to 500 at
    once. The response ends with the first events that there are. EventSource connects again by itself and
    continues where it was: at once while there are more, else after half a second. JSON lines
    (`Accept: application/x-ndjson`) wait only where `wait` says so; `X-Last-Event-ID` is the next `after`.
    While many of the caller's requests, or of all, are held already, none is held, and EventSource
    connects again after some seconds.
    """
    if query.job_id is not None:
        await load(query.job_id, caller)
    services, lines = get_services(), _NDJSON in accept
    longest = services.settings.api.long_poll.logs_s
    patience = min(query.wait if query.wait is not None else (0.0 if lines else longest), longest)
    wanted = EventFilter(
        owner_id=caller.scope,
        job_id=query.job_id,
        level=query.level,
        stage=query.stage.value if query.stage else None,
        text=query.q or None,
    )
    after = int(last_event_id) if last_event_id else query.after
    tail = query.tail if query.tail is not None or lines else _TAIL
    with waiting_room.seat(caller.user_id) as seated:
        until = time.monotonic() + (patience if seated else 0.0)
        page = await _page(services, wanted, after, tail, until)
    headers = {"Cache-Control": "no-store", "X-Last-Event-ID": str(page.position)}
    reconnect_ms = _RECONNECT_MS
    if patience and not seated:
        headers["Retry-After"] = str(again_s := come_again_s())
        # whole seconds alone would bring all that came together back together
        reconnect_ms = again_s * 1000 + random.randrange(1000)  # noqa: S311  # a choice, not a secret
    body = _json_lines(page) if lines else _stream(page, reconnect_ms)
    return Response(body, media_type=_NDJSON if lines else _SSE, headers=headers)


async def _page(
    services: Services, wanted: EventFilter, after: int | None, tail: int | None, until: float
) -> EventPage:
    """The first events there are, waited for ``until`` then (monotonic)."""
    page = EventPage([], after or 0, True)
    if after is None and tail is not None:
        page = await _in_thread(wanted)(
            last_events, services.database, wanted, limit=min(tail, _PAGE), scan=_SCAN_EVENTS
        )
    while not page.events and (page.more or await _something_new(services, page.position, until)):
        page = await _next(services, wanted, page.position)
        if page.more:
            break
    return page


async def _next(services: Services, wanted: EventFilter, after: int) -> EventPage:
    """The next events there are. A search that finds few goes on for a while, step by step."""
    until = time.monotonic() + services.settings.api.long_poll.logs_s
    events: list[JobEvent] = []
    while True:
        page = await _in_thread(wanted)(
            events_after, services.database, wanted, after, limit=_PAGE - len(events), scan=_SCAN_EVENTS
        )
        events += page.events
        if not page.more or len(events) >= _PAGE or time.monotonic() >= until:
            return EventPage(events, page.position, page.more)
        after = page.position


def _in_thread(wanted: EventFilter) -> Callable[..., Awaitable[EventPage]]:
    return in_search_thread if wanted.searches else asyncio.to_thread


async def _something_new(services: Services, position: int, until: float) -> bool:
    """True as soon as there is an event beyond ``position``, False when it is ``until``."""
    watch = services.event_watch
    while (remaining := until - time.monotonic()) > 0:
        await asyncio.sleep(min(watch.every_s, remaining))
        newest = await asyncio.to_thread(watch.look) if watch.is_due else watch.newest
        if newest > position:
            return True
    return False


def _json_lines(page: EventPage) -> str:
    return "".join(json.dumps(_line(event)) + "\n" for event in page.events)


def _stream(page: EventPage, reconnect_ms: int) -> str:
    """The page as SSE. Its last ``id:`` belongs to no event: it moves a filter's reader on, too."""
    retry = f"retry: {0 if page.more else reconnect_ms}\n\n"
    events = "".join(f"id: {event.id}\ndata: {json.dumps(_line(event))}\n\n" for event in page.events)
    return f"{retry}{events or ': nothing new' + chr(10)}id: {page.position}\n\n"


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
