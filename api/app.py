"""The FastAPI app: routes, errors and middleware put together."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import dashboard, errors, health, openapi
from api.auth import Authentication
from api.middleware import BodyLimit, HeadAsGet, LastResort, RequestId, RequestTrace, SecurityHeaders
from api.v1 import open_router, router
from imagery import __version__
from imagery.settings import get_settings

TITLE = "Imagery Guardrail & Hybrid Pipeline"
# longest body that is no file, such as a batch
_MAX_JSON_BYTES = 4 * 1024 * 1024
_DESCRIPTION = (
    "A photo goes in; a cut-out, its 4x upscaled version and a picture of it placed in a scene come out. "
    "Nothing is paid for a job that failed, and nothing is paid twice."
)


def create_app() -> FastAPI:
    """The app that the HTTP function serves."""
    app = FastAPI(
        title=TITLE,
        version=__version__,
        description=_DESCRIPTION,
        # /docs is a page of the dashboard's files: the framework's own loads its viewer from other hosts
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
    )
    errors.install(app)
    openapi.install(app)
    settings = get_settings()
    # the last one added is the first to see a request
    app.add_middleware(
        BodyLimit, max_file_bytes=settings.guardrail.max_upload_bytes, max_json_bytes=_MAX_JSON_BYTES
    )
    app.add_middleware(Authentication)
    app.add_middleware(LastResort)
    if settings.api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.api.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-API-Key"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestTrace)
    app.add_middleware(RequestId)
    app.add_middleware(HeadAsGet)
    app.include_router(router)
    app.include_router(open_router)
    app.include_router(health.router)
    dashboard.install(app)
    return app
