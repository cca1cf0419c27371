"""``GET /me``: who the caller is, its quotas and what it has used; ``GET /users`` for administrators."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth import Admin, Caller
from imagery.database.tables import utc_now
from imagery.principal import Principal, Role
from imagery.services import get_services
from imagery.webhooks import webhook_secret

router = APIRouter(tags=["users"])


class UsageView(BaseModel):
    """Quotas and what is used of them. ``usd_today`` holds what open jobs may still cost."""

    jobs_per_minute: int
    jobs_last_minute: int
    concurrent_jobs: int
    open_jobs: int
    usd_per_day: float
    usd_today: float


class Me(BaseModel):
    """The caller."""

    user_id: str
    name: str
    role: Role
    usage: UsageView | None = None


class KeyView(BaseModel):
    """A key without its secret."""

    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class UserEntry(BaseModel):
    """A user as administrators see it."""

    user_id: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None
    keys: list[KeyView]


@router.get("/me")
def me(caller: Caller) -> Me:
    """Who the key belongs to, and what may still be done with it."""
    return describe(caller)


def describe(caller: Principal) -> Me:
    """The caller with its quotas; a sign-in without a row of its own has none."""
    services = get_services()
    user = services.users.get(caller.user_id)
    usage = None
    if user is not None:
        with services.database.read() as session:
            found = services.quotas.usage(session, user, utc_now())
        usage = UsageView(**{name: getattr(found, name) for name in UsageView.model_fields})
    return Me(user_id=caller.user_id, name=caller.name, role=caller.role, usage=usage)


class WebhookSecret(BaseModel):
    """What verifies the signatures of the caller's callbacks."""

    secret: str


@router.get("/me/webhook-secret")
def own_webhook_secret(caller: Caller) -> WebhookSecret:
    """The secret of the caller's callbacks (Standard Webhooks, `whsec_...`)."""
    services = get_services()
    user = services.users.get(caller.user_id)
    version = user.webhook_version if user else 1
    master = services.settings.callbacks.signing_key
    return WebhookSecret(secret=webhook_secret(master, caller.user_id, version))


@router.get("/users")
def users(_: Admin) -> list[UserEntry]:
    """Every user with its keys, for administrators; they are made with `python -m imagery.users`."""
    return [
        UserEntry(
            **view.user.model_dump(include=set(UserEntry.model_fields)),
            keys=[KeyView(**key.model_dump(include=set(KeyView.model_fields))) for key in view.keys],
        )
        for view in get_services().users.all()
    ]
