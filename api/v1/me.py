"""``GET /me``: who the caller is, its quotas and what it has used; ``GET /users`` for administrators."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter

from api.auth import Admin, Caller
from api.problems import problems
from api.views import View
from imagery.database.tables import utc_now
from imagery.principal import Principal, Role
from imagery.services import get_services
from imagery.webhooks import webhook_secret

router = APIRouter(tags=["users"])


class QuotaUsage(View):
    """Quotas and what is used of them. ``usd_today`` holds what open jobs may still cost."""

    jobs_per_minute: int
    jobs_last_minute: int
    concurrent_jobs: int
    open_jobs: int
    usd_per_day: float
    usd_today: float


class CallerInfo(View):
    """The caller and its quotas; no quotas for a sign-in that has no user yet."""

    user_id: str
    name: str
    role: Role
    usage: QuotaUsage | None = None


class ApiKeyInfo(View):
    """A key without its secret."""

    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class UserInfo(View):
    """A user and its keys."""

    user_id: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None
    keys: list[ApiKeyInfo]


@router.get("/me")
def get_me(caller: Caller) -> CallerInfo:
    """Get the user behind the key, and what is left of its quotas."""
    return describe(caller)


def describe(caller: Principal) -> CallerInfo:
    """The caller with its quotas; a sign-in without a row of its own has none."""
    services = get_services()
    user = services.users.get(caller.user_id)
    usage = None
    if user is not None:
        with services.database.read() as session:
            found = services.quotas.usage(session, user, utc_now())
        usage = QuotaUsage(**{name: getattr(found, name) for name in QuotaUsage.model_fields})
    return CallerInfo(user_id=caller.user_id, name=caller.name, role=caller.role, usage=usage)


class WebhookSecret(View):
    """What verifies the signatures of the caller's callbacks."""

    secret: str


@router.get("/me/webhook-secret", responses=problems(422))
def get_webhook_secret(caller: Caller) -> WebhookSecret:
    """Get the secret that signs the caller's callbacks (Standard Webhooks, `whsec_...`)."""
    services = get_services()
    user = services.users.get(caller.user_id)
    version = user.webhook_version if user else 1
    master = services.settings.callbacks.signing_key
    return WebhookSecret(secret=webhook_secret(master, caller.user_id, version))


@router.get("/users", response_description="The users.", responses=problems(403))
def list_users(_: Admin) -> list[UserInfo]:
    """List users and their keys. Only administrators may do this."""
    return [
        UserInfo(
            **view.user.model_dump(include=set(UserInfo.model_fields)),
            keys=[ApiKeyInfo(**key.model_dump(include=set(ApiKeyInfo.model_fields))) for key in view.keys],
        )
        for view in get_services().users.all()
    ]
