"""Alembic's entry: runs on the connection that ``imagery.database.migrate`` hands over."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from sqlmodel import AutoString

from imagery.database.tables import ImageJob
from imagery.database.utc_datetime import UtcDateTime


def without_our_types(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Types as SQLAlchemy names them: a migration must not change with the classes of the code."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.{sa.String(item.length)!r}"
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=ImageJob.metadata,
    render_as_batch=True,
    render_item=without_our_types,
)
context.run_migrations()
