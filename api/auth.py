"""Who is calling: the owner of an API key, or a user whom the platform has signed in."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, problem_response
from imagery.principal import Principal, Role
from imagery.services import get_services
from imagery.settings import get_settings
from imagery.telemetry.logs import get_logger, log_context
from imagery.text import plain

_log = get_logger(__name__)
_PROTECTED = "/api/"
# where a browser trades its key for a cookie: without one it could not come in
SESSION_PATH = "/api/v1/session"
SESSION_COOKIE = "imagery_session"
_CALLER = "caller"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_OBJECT_ID = {"oid", "http://schemas.microsoft.com/identity/claims/objectidentifier"}
_NAME = ("name", "preferred_username")
_MAX_PRINCIPAL = 16 * 1024
_MAX_NAME = 200
_THREADS = 8
_HEADERS = {"WWW-Authenticate": "Bearer"}
_NO_KEY = "The request has no API key. Send it as 'X-API-Key: ...' or 'Authorization: Bearer ...'."
_READING = {"GET", "HEAD", "OPTIONS"}
_CROSS_SITE = "A page of another site sent this request in your name. Use this site, or an API key."
_NOT_NOW = "The API key can't be checked now. Try again in a moment."
_BAD_KEY = "The API key is wrong, revoked or expired, or its user is disabled. Ask for a new one."


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Threads for nothing but this: whatever else hangs, callers are told who they are."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="authentication")


def invalid_key() -> ApiError:
    """The error of a key that is not valid."""
    return ApiError(401, "invalid_api_key", _BAD_KEY, headers=_HEADERS)


def _missing_key() -> ApiError:
    return ApiError(401, "missing_api_key", _NO_KEY, headers=_HEADERS)


class Authentication:
    """Rejects requests to /api/ without a valid credential before it reads a byte of the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"]
        is_protected = path.startswith(_PROTECTED) and path != SESSION_PATH
        caller: Principal | None = None
        try:
            loop = asyncio.get_running_loop()
            caller = await loop.run_in_executor(_threads(), authenticate, headers)
        except Exception as error:
            # /healthz must report above all when the database is down
            _log.error("authentication_failed", exc_info=error)
            if is_protected:
                await problem_response(ApiError(503, "authentication_unavailable", _NOT_NOW))(
                    scope, receive, send
                )
                return
        if caller is None and is_protected:
            given = _given_key(headers) or _session_id(headers) or _signed_in(headers)
            refusal = invalid_key() if given else _missing_key()
            # one line for each would let anybody fill the log
            _log.debug("authentication_refused", code=refusal.problem.code)
            await problem_response(refusal)(scope, receive, send)
            return
        if (caller is not None or path == SESSION_PATH) and is_forged(scope["method"], headers):
            await problem_response(ApiError(403, "cross_site_request", _CROSS_SITE))(scope, receive, send)
            return
        scope.setdefault("state", {})[_CALLER] = caller
        with log_context(caller=caller.user_id if caller else None):
            await self._app(scope, receive, send)


def authenticate(headers: Headers) -> Principal | None:
    """The caller of a request with ``headers``; None when there is no valid credential."""
    if _signed_in(headers):
        return _by_sign_in(headers["x-ms-client-principal"])
    key, session_id = _given_key(headers), _session_id(headers)
    if key is not None:
        return get_services().users.authenticate(key)
    return get_services().sessions.caller(session_id) if session_id else None


def optional_caller(request: Request) -> Principal | None:
    """Return the caller, or None: for routes that need no credential."""
    caller: Principal | None = request.scope.get("state", {}).get(_CALLER)
    return caller


def current_caller(request: Request) -> Principal:
    """The caller. Every route under /api/ has one."""
    caller = optional_caller(request)
    if caller is None:
        raise _missing_key()
    return caller


def require_admin(request: Request) -> Principal:
    """The caller, who must be an admin."""
    caller = current_caller(request)
    if caller.role is not Role.ADMIN:
        raise ApiError(403, "admin_only", "Only administrators may do this. Ask one of them.")
    return caller


def require_operator(request: Request) -> Principal:
    """The caller, who must be an operator or an admin."""
    caller = current_caller(request)
    if not caller.sees_everything:
        raise ApiError(403, "operator_only", "Only operators may do this. Ask one of them.")
    return caller


Caller = Annotated[Principal, Depends(current_caller)]
MaybeCaller = Annotated[Principal | None, Depends(optional_caller)]
Operator = Annotated[Principal, Depends(require_operator)]
Admin = Annotated[Principal, Depends(require_admin)]
# for OpenAPI alone: the middleware above checks them
SECURITY = (
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKey")),
    Security(HTTPBearer(auto_error=False, scheme_name="Bearer")),
    Security(APIKeyCookie(name=SESSION_COOKIE, auto_error=False, scheme_name="Session")),
)


def is_forged(method: str, headers: Headers) -> bool:
    """True for a change that a page of another site requests with the user's sign-in or session.

    Browsers send those along by themselves, but never a key in a header.
    """
    if method in _READING or _given_key(headers) is not None:
        return False
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    if origin in get_settings().api.cors_origins:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _given_key(headers: Headers) -> str | None:
    key = headers.get("x-api-key")
    if key:
        return key.strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _session_id(headers: Headers) -> str | None:
    """The id of the browser's session."""
    return cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE) or None


def _signed_in(headers: Headers) -> bool:
    """True when the platform has signed a user in. Without the platform anyone could send the header."""
    return get_settings().api.easy_auth and "x-ms-client-principal" in headers


def _by_sign_in(encoded: str) -> Principal | None:
    """The user of an App Service Authentication principal: base64 of JSON with ``claims``."""
    if len(encoded) > _MAX_PRINCIPAL:
        return None
    try:
        principal: Any = json.loads(base64.b64decode(encoded, validate=True))
        claims = [(str(each["typ"]), str(each["val"])) for each in principal["claims"]]
        role_type = str(principal.get("role_typ") or "roles")
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    user_id = next((value for kind, value in claims if kind in _OBJECT_ID), "")
    if not _ID.fullmatch(user_id):
        return None
    name = next((value for kind, value in claims if kind in _NAME), user_id)
    roles = {value.lower().split(".")[-1] for kind, value in claims if kind in {role_type, "roles"}}
    role = next((role for role in (Role.ADMIN, Role.OPERATOR) if role.value in roles), Role.USER)
    return get_services().users.sign_in(user_id, plain(name, _MAX_NAME) or user_id, role)
