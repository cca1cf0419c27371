"""Users and their API keys."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from imagery.api_keys import hash_secret, matches, new_key, split_key
from imagery.database.engine import Database
from imagery.database.money import to_micro
from imagery.database.tables import ApiKey, User, utc_now
from imagery.principal import Principal, Role

_USED_EVERY = timedelta(minutes=1)
# compared if there is no such key, so that the response takes as long as for a wrong secret
_NO_SALT = secrets.token_hex(16)
_NO_HASH = hash_secret(secrets.token_urlsafe(32), _NO_SALT)


class UserError(Exception):
    """The change can't be made; the text says why."""


@dataclass(frozen=True)
class UserView:
    """A user with all its keys, newest first."""

    user: User
    keys: list[ApiKey]


class Users:
    """The repository of users and keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def authenticate(self, text: str) -> Principal | None:
        """The owner of an API key; None when it is wrong, revoked, expired, or its user is disabled."""
        parts = split_key(text)
        if parts is None:
            return None
        prefix, secret = parts
        with self._database.read() as session:
            key = session.get(ApiKey, prefix)
        good = matches(secret, key.salt if key else _NO_SALT, key.hash if key else _NO_HASH)
        return self.owner_of(key) if key is not None and good else None

    def owner_of(self, key: ApiKey) -> Principal | None:
        """Whose key it is; None when it is revoked, expired, or its user is disabled. Notes its use."""
        now = utc_now()
        if not _is_valid(key, now):
            return None
        user = self.get(key.user_id)
        if user is None or user.disabled_at is not None:
            return None
        if key.last_used_at is None or now - key.last_used_at > _USED_EVERY:
            self._note_use(key.prefix, now)
        return Principal(user.user_id, user.name, Role(user.role))

    def sign_in(self, user_id: str, name: str, role: Role) -> Principal | None:
        """The user that the platform has signed in, created at the first time. Returns None if disabled."""
        user = self.get(user_id)
        if user is None or user.name != name or user.role != role:
            user = self._keep(user_id, name, role)
        if user.disabled_at is not None:
            return None
        return Principal(user.user_id, user.name, role)

    def get(self, user_id: str) -> User | None:
        """Returns None if there is no such user."""
        with self._database.read() as session:
            return session.get(User, user_id)

    def all(self) -> list[UserView]:
        """Every user, by name."""
        with self._database.read() as session:
            users = list(session.exec(select(User).order_by(col(User.name), col(User.user_id))))
            keys = list(session.exec(select(ApiKey).order_by(col(ApiKey.created_at).desc())))
        return [UserView(user, [key for key in keys if key.user_id == user.user_id]) for user in users]

    def create(self, name: str, role: Role) -> tuple[User, str]:
        """A new user and its first key, which is not stored. Raises ``UserError`` when the name is taken."""
        with self._database.write() as session:
            if _by_name(session, name) is not None:
                raise UserError(f"There is a user '{name}' already.")
            user = User(user_id=str(uuid.uuid4()), name=name, role=role)
            session.add(user)
            session.flush()
            return user, _add_key(session, user.user_id)

    def add_key(self, name: str, lifetime: timedelta | None = None) -> str:
        """One more key of a user. Raises ``UserError``."""
        with self._database.write() as session:
            expires_at = utc_now() + lifetime if lifetime else None
            return _add_key(session, _named(session, name).user_id, expires_at)

    def rotate(self, prefix: str, grace: timedelta) -> str:
        """A new key in place of ``prefix``, which stays good for ``grace``. Raises ``UserError``."""
        with self._database.write() as session:
            old = _key(session, prefix)
            if not _is_valid(old, utc_now()):
                raise UserError(f"The key {prefix} is not valid any more: make a new one with 'key'.")
            end = utc_now() + grace
            old.expires_at = min(old.expires_at, end) if old.expires_at else end
            return _add_key(session, old.user_id)

    def revoke(self, prefix: str) -> None:
        """End a key at once. Raises ``UserError``."""
        with self._database.write() as session:
            key = _key(session, prefix)
            key.revoked_at = key.revoked_at or utc_now()

    def change(
        self,
        name: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        jobs_per_minute: int | None = None,
        concurrent_jobs: int | None = None,
        usd_per_day: float | None = None,
        new_webhook_secret: bool = False,
    ) -> User:
        """Change what is given. Raises ``UserError``."""
        with self._database.write() as session:
            user = _named(session, name)
            if role is not None:
                user.role = role
            if disabled is not None:
                user.disabled_at = utc_now() if disabled else None
            if jobs_per_minute is not None:
                user.jobs_per_minute = jobs_per_minute
            if concurrent_jobs is not None:
                user.concurrent_jobs = concurrent_jobs
            if usd_per_day is not None:
                user.micro_usd_per_day = to_micro(usd_per_day)
            if new_webhook_secret:
                user.webhook_version += 1
            return user

    def named(self, name: str) -> User:
        """The user of that id or name. Raises ``UserError``."""
        with self._database.read() as session:
            return _named(session, name)

    def _keep(self, user_id: str, name: str, role: Role) -> User:
        try:
            with self._database.write() as session:
                user = session.get(User, user_id) or User(user_id=user_id, name=name)
                user.name, user.role = name, role
                session.add(user)
                return user
        except IntegrityError:
            # two first requests at once: the other one made it
            made = self.get(user_id)
            if made is None:
                raise
            return made

    def _note_use(self, prefix: str, now: datetime) -> None:
        with self._database.write() as session:
            key = session.get(ApiKey, prefix)
            if key is not None:
                key.last_used_at = now


def _is_valid(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def _by_name(session: Session, name: str) -> User | None:
    return session.exec(select(User).where(User.name == name)).first()


def _named(session: Session, name: str) -> User:
    """By id, or by a name that only one user has: who signs in brings a name of its own choice."""
    user = session.get(User, name)
    if user is not None:
        return user
    found = list(session.exec(select(User).where(User.name == name).limit(2)))
    if not found:
        raise UserError(f"There is no user '{name}'; 'list' shows who there is.")
    if len(found) > 1:
        raise UserError(f"More than one user is called '{name}': give the id, which 'list' shows.")
    return found[0]


def _key(session: Session, prefix: str) -> ApiKey:
    key = session.get(ApiKey, prefix.removeprefix("igp_").split("_")[0])
    if key is None:
        raise UserError(f"There is no key '{prefix}'; 'list' shows the keys of every user.")
    return key


def _add_key(session: Session, user_id: str, expires_at: datetime | None = None) -> str:
    made = new_key()
    session.add(
        ApiKey(prefix=made.prefix, user_id=user_id, salt=made.salt, hash=made.hash, expires_at=expires_at)
    )
    return made.text
