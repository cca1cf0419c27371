"""What every call of the management API has in common: its callers, its errors and its body."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import grpc
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from devhost.backend import BackendError

MAX_BODY = 16 * 1024 * 1024
_HTTP_STATUS_OF = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 410,
}
_READING = {"GET", "HEAD", "OPTIONS"}
Handler = Callable[[Request], Awaitable[Response]]


class BadRequestError(Exception):
    """The call is malformed; ``status`` is the HTTP status of the response."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def local_only(handler: Handler) -> Handler:
    """Serve only callers on this machine, and return every error as JSON: the SDK parses each body.

    A web page of another site is not one of them, although its requests come from a browser on this machine.
    """

    async def guarded(request: Request) -> Response:
        # the Host header too: a web page can make a name of its own point to this machine
        if not (request.client and _is_loopback(request.client.host) and _is_loopback(request.url.hostname)):
            return message("Only callers on this machine are served.", 403)
        if _is_from_another_site(request):
            return message("Web pages of other sites are not served.", 403)
        try:
            return await handler(request)
        except BadRequestError as error:
            return message(str(error), error.status)
        except BackendError as error:
            return message(str(error), _HTTP_STATUS_OF.get(error.code, 500))

    return guarded


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_from_another_site(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    # a link to a status may be followed from anywhere: the page that has it can't read the response
    sent_by_browser = request.headers.get("sec-fetch-site", "none")
    return request.method not in _READING and sent_by_browser not in {"none", "same-origin"}


def message(text: str, status: int) -> Response:
    """The body of an error, as the SDK reads it."""
    return JSONResponse({"Message": text, "ExceptionMessage": text}, status)


async def json_body(request: Request) -> str:
    """The JSON text of a body, empty where there is none. Raises ``BadRequestError``."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BadRequestError(f"The body exceeds {MAX_BODY} bytes.", 413)
        chunks.append(chunk)
    text = b"".join(chunks).decode(errors="replace")
    try:
        json.loads(text or "null")
    except ValueError as error:
        raise BadRequestError("The body is not JSON.") from error
    return text
