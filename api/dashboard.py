"""The dashboard: the built files of ``frontend/``, and its first page for every address of its own."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from imagery.services import get_services

BUILT = Path(__file__).parent.parent / "frontend" / "dist"
_FIRST_PAGE = "index.html"
# the routes below these answer for themselves, also methods that they do not have
_OTHERS = ("api", "runtime", "admin", "healthz")
_FILES = ("assets", "samples")
# names under assets/ change with their content
_FOR_EVER = "public, max-age=31536000, immutable"
_LOOK_EACH_TIME = "no-cache"
_NOT_FOUND = 404


def install(app: FastAPI, built: Path = BUILT) -> None:
    """Serve the dashboard at ``/``, after all other routes; without built files ``/`` leads to the API's."""
    if (built / _FIRST_PAGE).is_file():
        app.router.routes.append(_Pages("/", GZipMiddleware(Dashboard(built), minimum_size=1000)))
        return

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse("/docs")


class _Pages(Mount):
    """Everything that is nobody else's."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Nothing below the addresses of others."""
        if _first(scope["path"].lstrip("/")) in _OTHERS:
            return Match.NONE, {}
        return super().matches(scope)


class Dashboard(StaticFiles):
    """Files of the build; any other address that looks like a page is for the app in the browser."""

    def __init__(self, built: Path) -> None:
        super().__init__(directory=built, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or the first page. Raises ``HTTPException`` 404, 405."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != _NOT_FOUND or not _is_page(path, scope):
                raise
            response = await super().get_response(_FIRST_PAGE, scope)
        immutable = path.startswith("assets/")
        response.headers["Cache-Control"] = _FOR_EVER if immutable else _LOOK_EACH_TIME
        response.headers["Content-Security-Policy"] = policy(get_services().storage.link_origin)
        return response


def _is_page(path: str, scope: Scope) -> bool:
    """True for a browser that goes to an address which is no file's."""
    return _first(path) not in _FILES and "text/html" in Headers(scope=scope).get("accept", "")


def _first(path: str) -> str:
    return path.partition("/")[0]


def policy(pictures_from: str | None) -> str:
    """What the pages may load: themselves and, where links lead to a blob store, its pictures."""
    pictures = " ".join(["'self'", "blob:", "data:", *([pictures_from] if pictures_from else [])])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {pictures}; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
