"""``GET /metrics``: Prometheus, computed from SQL when it is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from imagery.services import get_services
from imagery.telemetry.metrics import exposition

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=Response)
def metrics(accept: Annotated[str, Header()] = "") -> Response:
    """Prometheus text, or OpenMetrics where the caller asks for it."""
    services = get_services()
    body, content_type = exposition(
        services.database, services.gpu, services.settings.nano_banana_price_usd, accept
    )
    return Response(body, media_type=content_type)
