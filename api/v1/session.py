"""``/session``: a browser trades its API key for a cookie, which pictures and event streams carry too."""

from __future__ import annotations

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
    """Sign a browser in: set a cookie that counts as `X-API-Key` and that scripts can't read.

    Revoking the key ends the session too.
    """
    services = get_services()
    caller = services.users.authenticate(body.key.strip())
    if caller is None:
        raise invalid_key()
    response.set_cookie(
        SESSION_COOKIE,
        body.key.strip(),
        max_age=_LIFETIME_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return describe(caller)


@router.delete("", status_code=204, response_description="Nobody is signed in any more.")
def sign_out(response: Response) -> None:
    """Sign a browser out: delete its cookie."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
