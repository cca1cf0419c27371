"""``GET /metrics``: Prometheus, read from SQL when it is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from api.auth import Caller
from imagery.reporting.metrics import exposition
from imagery.services import get_services

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=Response)
def metrics(caller: Caller, accept: Annotated[str, Header()] = "") -> Response:
    """Prometheus text, or OpenMetrics where asked for: of everybody for operators, else one's own."""
    services = get_services()
    body, content_type = exposition(services.database, services.gpu_reading, accept, caller.scope)
    return Response(body, media_type=content_type)
