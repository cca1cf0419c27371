"""``/session``: a browser trades its API key for a session, which pictures and event streams carry too."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.auth import SESSION_COOKIE, invalid_key
from api.problems import problems
from api.v1.me import CallerInfo, describe
from imagery.services import get_services

router = APIRouter(prefix="/session", tags=["users"])
_MAX_KEY = 200
# how long a browser stays signed in with a key
_LIFETIME_S = 12 * 3600


class SignIn(BaseModel):
    """The key of the user who signs in."""

    key: str = Field(min_length=1, max_length=_MAX_KEY, description="An API key, `igp_...`.")


@router.post("", responses=problems(400, 401, 422))
def sign_in(body: SignIn, request: Request, response: Response) -> CallerInfo:
    """Sign a browser in: set a cookie with the id of a new session, which scripts can't read.

    Signing out ends the session, and so does revoking the key.
    """
    services = get_services()
    opened = services.sessions.open(body.key.strip(), timedelta(seconds=_LIFETIME_S))
    if opened is None:
        raise invalid_key()
    caller, session_id = opened
    response.set_cookie(
        SESSION_COOKIE,
        session_id,
        max_age=_LIFETIME_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return describe(caller)


@router.delete("", status_code=204, response_description="Nobody is signed in any more.")
def sign_out(request: Request, response: Response) -> None:
    """Sign a browser out: end its session and delete its cookie."""
    get_services().sessions.close(request.cookies.get(SESSION_COOKIE, ""))
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
