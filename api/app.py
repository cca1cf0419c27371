"""The FastAPI app: routes, errors and middleware put together."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from api import errors, health
from api.middleware import BodyLimit, LastResort, RequestId
from api.v1 import router
from imagery import __version__
from imagery.settings import get_settings

_DESCRIPTION = (
    "A photo goes in; a cut-out, its 4x upscaled version and a picture of it placed in a scene come out. "
    "Nothing is paid for a job that failed, and nothing is paid twice."
)


def create_app() -> FastAPI:
    """The app that the HTTP function serves."""
    app = FastAPI(title="Imagery Guardrail & Hybrid Pipeline", version=__version__, description=_DESCRIPTION)
    errors.install(app)
    app.add_middleware(BodyLimit, max_bytes=get_settings().max_upload_bytes)
    app.add_middleware(LastResort)
    app.add_middleware(RequestId)
    app.include_router(router)
    app.include_router(health.router)

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app
