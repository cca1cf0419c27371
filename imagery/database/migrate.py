"""Alembic behind two functions, so that the command and the start of a laptop use the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

_FOLDER = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def write_revision(message: str) -> Path:
    """Write the migration from the newest revision to the tables of the code. Returns its file."""
    number = int(head_revision() or 0) + 1
    engine = create_engine("sqlite://", poolclass=StaticPool)
    upgrade(engine)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
    assert isinstance(script, Script), "one message makes one revision"
    return Path(script.path)


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to ``revision`` in one transaction."""
    with _migrating(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to ``revision`` (``base`` for nothing)."""
    with _migrating(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """A transaction without the time limit of a statement: a table may be large."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield connection


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at, None when it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """The revision this code expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()
