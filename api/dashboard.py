"""The built files of ``frontend/``: the pages of the dashboard, and the API's documentation at ``/docs``."""

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
# the API's: below these nothing is a page, whatever the method
_OTHERS = ("api", "runtime", "admin", "healthz")
_FILES = ("assets", "docs", "samples")
_PAGES = {"docs": "docs/index.html"}
# names under assets/ change with their content
_FOR_EVER = "public, max-age=31536000, immutable"
_LOOK_EACH_TIME = "no-cache"
_NOT_FOUND = 404


def install(app: FastAPI, built: Path = BUILT) -> None:
    """Serve the files at ``/``, after all other routes; without them ``/`` leads to the API's description."""
    if (built / _FIRST_PAGE).is_file():
        app.router.routes.append(_Pages("/", GZipMiddleware(Dashboard(built), minimum_size=1000)))
        return

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse("/openapi.json")


class _Pages(Mount):
    """Every address that is not the API's."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match no address of the API."""
        if _first(scope["path"].lstrip("/")) in _OTHERS:
            return Match.NONE, {}
        return super().matches(scope)


class Dashboard(StaticFiles):
    """Files of the build. Any other address of a page returns the first page: the browser's app shows it."""

    def __init__(self, built: Path) -> None:
        super().__init__(directory=built, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file or the first page. Raises ``HTTPException`` 404, 405."""
        try:
            response = await super().get_response(_PAGES.get(path, path), scope)
        except HTTPException as error:
            if error.status_code != _NOT_FOUND or not _is_page(path, scope):
                raise
            response = await super().get_response(_FIRST_PAGE, scope)
        immutable = path.startswith("assets/")
        response.headers["Cache-Control"] = _FOR_EVER if immutable else _LOOK_EACH_TIME
        response.headers["Content-Security-Policy"] = policy(get_services().storage.link_origin)
        return response


def _is_page(path: str, scope: Scope) -> bool:
    """True when a browser opens an address that is not a file."""
    return _first(path) not in _FILES and "text/html" in Headers(scope=scope).get("accept", "")


def _first(path: str) -> str:
    return path.partition("/")[0]


def policy(pictures_from: str | None) -> str:
    """The content security policy: the page's origin and, where links lead there, the store's pictures."""
    pictures = " ".join(["'self'", "blob:", "data:", *([pictures_from] if pictures_from else [])])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {pictures}; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
