"""Whom the simulator serves: programs, but no web page of another site.

Its control side serves this machine alone.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

CONTROL = "/_simulator/"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_READING = {"GET", "HEAD", "OPTIONS"}


class CallersGuard:
    """ASGI middleware that returns 403, as a JSON object with ``error``, to everybody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or hand it on."""
        app = self._app
        if scope["type"] == "http":
            reason = refusal(Request(scope))
            app = JSONResponse({"error": reason}, 403) if reason else app
        await app(scope, receive, send)


def refusal(request: Request) -> str | None:
    """Why the request is refused. Returns None if it is served."""
    # a web page can make a name of its own point to this machine; then only the Host header gives it away
    if request.url.path.startswith(CONTROL) and request.url.hostname not in _LOOPBACK:
        return "The control side serves callers that name this machine 127.0.0.1, ::1 or localhost."
    origin = request.headers.get("origin")
    if origin is not None:
        is_foreign = urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    else:
        # a link to the bill may be followed from anywhere: the page that has it can't read the response
        sent_by_browser = request.headers.get("sec-fetch-site", "none")
        is_foreign = request.method not in _READING and sent_by_browser not in {"none", "same-origin"}
    return "Web pages of other sites are not served." if is_foreign else None
