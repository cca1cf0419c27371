"""Databases with the schema, made by copying: migrating each one takes a test's tenth of a second."""

from __future__ import annotations

import tempfile
import uuid
from functools import cache
from pathlib import Path

from sqlalchemy import text

from imagery.database.engine import make_engine
from imagery.database.migrate import upgrade
from testbed.postgres import Postgres


def sqlite_with_schema(file: Path) -> str:
    """Write a new database to ``file``. Returns its URL."""
    file.write_bytes(_sqlite())
    return f"sqlite:///{file}"


def postgres_database(server: Postgres, *, with_schema: bool = False) -> str:
    """The URL of a new database."""
    name = f"test_{uuid.uuid4().hex}"
    _create(server, name, template=_postgres(server) if with_schema else "template1")
    return server.url_of(name)


@cache
def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "template.db")
        _migrate(f"sqlite:///{file}")
        return file.read_bytes()


@cache
def _postgres(server: Postgres) -> str:
    """The database of this server from which others are copied; nobody stays connected to it."""
    name = "template_with_schema"
    _create(server, name, template="template1")
    _migrate(server.url_of(name))
    return name


def _create(server: Postgres, name: str, *, template: str) -> None:
    engine = make_engine(server.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()


def _migrate(url: str) -> None:
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
