"""INSERT ... ON CONFLICT, which SQLite and PostgreSQL both have and SQLAlchemy writes for each of them."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel


def insert(session: Session, table: type[SQLModel]) -> sqlite.Insert | postgresql.Insert:
    """The insert of the session's database, with ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
