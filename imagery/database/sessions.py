"""Browsers that are signed in: each has a random id, of which only the hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from sqlalchemy import delete
from sqlmodel import col

from imagery.api_keys import split_key
from imagery.database.engine import Database
from imagery.database.tables import ApiKey, BrowserSession, utc_now
from imagery.database.users import Users
from imagery.principal import Principal

_ID = re.compile(r"igs_[A-Za-z0-9_-]{43}")


class Sessions:
    """The repository of browsers' sessions."""

    def __init__(self, database: Database, users: Users) -> None:
        self._database = database
        self._users = users

    def open(self, key: str, lifetime: timedelta) -> tuple[Principal, str] | None:
        """Sign the owner of a key in. Returns who that is and the session's id; None if the key is wrong."""
        caller = self._users.authenticate(key)
        parts = split_key(key)
        if caller is None or parts is None:
            return None
        session_id = f"igs_{secrets.token_urlsafe(32)}"
        with self._database.write() as session:
            row = BrowserSession(
                id_hash=_hash(session_id), key_prefix=parts[0], expires_at=utc_now() + lifetime
            )
            session.add(row)
        return caller, session_id

    def caller(self, session_id: str) -> Principal | None:
        """Who is signed in. Returns None if nobody is: the session has ended, or its key is good no more."""
        if not _ID.fullmatch(session_id):
            return None
        with self._database.read() as session:
            row = session.get(BrowserSession, _hash(session_id))
            if row is None or row.expires_at <= utc_now():
                return None
            key = session.get(ApiKey, row.key_prefix)
        return self._users.owner_of(key) if key is not None else None

    def close(self, session_id: str) -> None:
        """End the session, for every copy of its cookie."""
        with self._database.write() as session:
            session.execute(delete(BrowserSession).where(col(BrowserSession.id_hash) == _hash(session_id)))


def _hash(session_id: str) -> str:
    # 256 random bits: there is nothing to guess
    return hashlib.sha256(session_id.encode()).hexdigest()
