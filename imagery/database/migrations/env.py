"""Alembic's entry: runs on the connection that ``imagery.database.migrate`` hands over."""

from alembic import context
from sqlmodel import SQLModel

from imagery.database import tables  # noqa: F401  # registers the tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
