"""HTTP triggers: route templates, methods, keys and bodies, as the real host serves them."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import azure.functions as func
from azure.functions import meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from devhost.app import App, Function
from devhost.invocation import Invoker
from devhost.settings import HostSettings

_log = logging.getLogger(__name__)
_PART = re.compile(r"\{(\*{0,2})(\w+)(?::(\w+))?(\?)?\}")
_KINDS = {None: r"[^/]+", "int": r"-?\d+", "guid": r"[0-9a-fA-F-]{36}", "alpha": r"[A-Za-z]+"}
_ALL_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
_SLASH = re.compile("%2f", re.IGNORECASE)
_RETRY_AFTER_S = "1"
_CONVERTERS: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class BodyTooLargeError(Exception):
    """The body exceeds the host's limit."""


@dataclass(frozen=True)
class HttpRoute:
    """One function's route."""

    function: Function
    pattern: re.Pattern[str]
    methods: frozenset[str]
    level: str

    @property
    def precedence(self) -> tuple[bool, int, int]:
        """Routes with a catch-all come last; those with fewer parameters, then longer ones, first."""
        template = str(self.function.properties.get("route") or self.function.name)
        return "{*" in template, template.count("{"), -len(template)


def compile_route(template: str) -> re.Pattern[str]:
    """A route template (``{id}``, ``{id:int}``, ``{*path}``, ``{x?}``) as a pattern over the whole path."""
    if set("{}") & set(_PART.sub("", template)):
        raise ValueError(f"route {template}: a parameter of this form is not supported")
    pattern, end = "", 0
    for match in _PART.finditer(template):
        literal = re.escape(template[end : match.start()])
        rest, name, kind, optional = match.groups()
        if kind not in _KINDS:
            raise ValueError(f"route {template}: the constraint '{kind}' is not supported")
        if rest and literal.endswith("/"):
            pattern += f"{literal[:-1]}(?:/(?P<{name}>.*))?"
        elif rest:
            pattern += f"{literal}(?P<{name}>.*)"
        elif optional and literal.endswith("/"):
            pattern += f"{literal[:-1]}(?:/(?P<{name}>{_KINDS[kind]}))?"
        else:
            part = f"(?P<{name}>{_KINDS[kind]})"
            pattern += literal + (f"{part}?" if optional else part)
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]) + "/?", re.IGNORECASE | re.DOTALL)


class HttpTriggers:
    """Finds the function of a request and calls it."""

    def __init__(self, settings: HostSettings, app: App, invoker: Invoker) -> None:
        self._invoker = invoker
        self._max_body = settings.max_body_bytes
        self._max_outstanding = settings.max_outstanding_requests
        self._outstanding = 0
        self._slots = asyncio.Semaphore(settings.max_concurrent_requests)
        self._key = function_key(settings.state_dir)
        routes = [_route(each, settings.route_prefix) for each in app.of("httpTrigger").values()]
        self._routes = sorted(routes, key=lambda route: route.precedence)

    async def handle(self, request: Request) -> Response:
        """Call the function. Returns 404, 405, 401 without a key, 413, 429 when busy, or 500 if it raises."""
        path = raw_path(request).lstrip("/")
        matches = [(each, match) for each in self._routes if (match := each.pattern.fullmatch(path))]
        if not matches:
            return problem(404, "no function has this route")
        found = next((pair for pair in matches if request.method in pair[0].methods), None)
        if found is None:
            allowed = sorted({method for route, _ in matches for method in route.methods})
            return problem(405, f"{request.method} is not allowed here", {"Allow": ", ".join(allowed)})
        route, match = found
        if route.level != "anonymous" and not self._admits(request):
            return problem(401, "a function key is needed: header x-functions-key, or ?code=")
        if self._outstanding >= self._max_outstanding:
            return problem(429, "too many requests are waiting", {"Retry-After": _RETRY_AFTER_S})
        self._outstanding += 1
        try:
            async with self._slots:
                return await self._call(route.function, request, match)
        finally:
            self._outstanding -= 1

    async def _call(self, function: Function, request: Request, match: re.Match[str]) -> Response:
        try:
            value = _request(request, await self._body(request), match)
            return _response(await self._invoker.call(function, value), request.method)
        except BodyTooLargeError:
            # the rest of the body is not read, so the connection can't be used for another request
            return problem(413, f"the body exceeds {self._max_body} bytes", {"Connection": "close"})
        except ClientDisconnect:
            return problem(400, "the client went away")
        except Exception:
            _log.exception("function %s raised", function.name)
            return problem(500, "the function raised an error; the host's log has it")

    def _admits(self, request: Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
        return hmac.compare_digest(given.encode(), self._key.encode())

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "")
        if not declared:
            # as in the real host: what comes in chunks reaches the function as an empty body
            return b""
        if declared.isdigit() and int(declared) > self._max_body:
            raise BodyTooLargeError
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._max_body:
                raise BodyTooLargeError
            chunks.append(chunk)
        return b"".join(chunks)


def function_key(state_dir: Path) -> str:
    """The key of functions that are not anonymous, made once, in a file that only its owner can read."""
    path = state_dir / "function.key"
    known = path.read_text().strip() if path.exists() else ""
    if known:
        return known
    state_dir.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(32)
    # written whole before it gets its name: a half-written key would let anybody in
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(key)
    temporary.replace(path)
    return key


def raw_path(request: Request) -> str:
    """The path as it was sent, with its percent signs."""
    sent: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return sent.decode("latin-1")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error of the host itself."""
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    body = {"type": "about:blank", "title": phrase, "status": status, "detail": detail, "code": code}
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


def _route(function: Function, prefix: str) -> HttpRoute:
    properties = function.properties
    template = str(properties.get("route") or function.name).lstrip("/")
    methods = properties.get("methods") or _ALL_METHODS
    level = properties.get("authLevel")
    return HttpRoute(
        function=function,
        pattern=compile_route(f"{prefix}/{template}" if prefix else template),
        methods=frozenset(str(getattr(method, "value", method)).upper() for method in methods),
        # as in the real host, a function without an auth level is not open to everybody
        level=str(getattr(level, "value", level) or "function").lower(),
    )


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, meta.Datum]:
    """Repeated names as one value with commas, as the real host hands them over."""
    values: dict[str, str] = {}
    for name, value in pairs:
        values[name] = f"{values[name]},{value}" if name in values else value
    return {name: meta.Datum(value, "string") for name, value in values.items()}


def _decoded(text: str) -> str:
    """Unescaped once, except for slashes, which the real host leaves as they were sent."""
    return unquote(_SLASH.sub(lambda match: f"%25{match[0][1:]}", text))


def _request(request: Request, body: bytes, match: re.Match[str]) -> func.HttpRequest:
    """The SDK's own request object, through its own converter."""
    url = f"{request.url.scheme}://{request.url.netloc}{raw_path(request)}"
    query = request.scope["query_string"].decode("latin-1")
    parameters = {name: _decoded(value) for name, value in match.groupdict().items() if value is not None}
    datum = meta.Datum(
        {
            "method": meta.Datum(request.method, "string"),
            "url": meta.Datum(f"{url}?{query}" if query else url, "string"),
            "headers": _joined(request.headers.items()),
            "query": _joined(request.query_params.multi_items()),
            "params": _joined(parameters.items()),
            "body": meta.Datum(body, "bytes"),
        },
        "http",
    )
    converted: func.HttpRequest = _CONVERTERS.get("httpTrigger").decode(datum, trigger_metadata=None)
    return converted


def _response(result: Any, method: str) -> Response:
    if result is None:
        return Response(status_code=204)
    datum = _CONVERTERS.get("http").encode(result, expected_type=None)
    if datum.type == "string":
        return Response(datum.value, media_type="text/plain")
    value = datum.value
    headers = {name: header.value for name, header in value["headers"].items()}
    if method != "HEAD":
        # of a HEAD it is the length of what GET would send, which only the function knows
        headers.pop("content-length", None)
    response = Response(value["body"].value, int(value["status_code"].value), headers=headers)
    for cookie in value["cookies"] or []:
        for morsel in cookie.values():
            response.raw_headers.append((b"set-cookie", morsel.OutputString().encode()))
    return response
