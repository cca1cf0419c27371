"""``GET /metrics``: Prometheus, read from SQL when it is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from api.auth import Caller
from api.problems import Responses
from imagery.reporting.metrics import exposition
from imagery.services import get_services

router = APIRouter(tags=["operations"])


_TEXT: Responses = {
    200: {
        "description": "The metrics.",
        "content": {
            kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")
        },
    }
}


@router.get("/metrics", response_class=Response, responses=_TEXT)
def get_metrics(caller: Caller, accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
    """Get metrics in the text format of Prometheus, or of OpenMetrics where `Accept` asks for it.

    Operators see the metrics of all jobs, others those of their own.
    """
    body, content_type = exposition(get_services().database, accept, caller.scope)
    return Response(body, media_type=content_type)
