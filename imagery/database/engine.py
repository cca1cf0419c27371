"""One engine for each process, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import certifi
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlmodel import Session, create_engine

from imagery.database.journal import write_journal
from imagery.identity import TOKEN_MARGIN_S, Tokens, get_credential
from imagery.settings import get_settings

_BUSY_TIMEOUT_S = 30
_POOL_SIZE = 10
_POOL_OVERFLOW = 20


# A server that is gone or hangs is noticed within a minute: no function comes near functionTimeout.
_STATEMENT_S = 60
_POSTGRES_LIMITS: dict[str, Any] = {
    "connect_timeout": 10,
    "options": f"-c statement_timeout={_STATEMENT_S}s",
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

# the token audience of every Azure Database for PostgreSQL
_TOKEN_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"  # noqa: S105  # no secret
_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}


def make_engine(url: str, tokens: Tokens | None = None) -> Engine:
    """An engine for ``sqlite:///file`` or ``postgresql+psycopg://...``; parent folders are created.

    PostgreSQL has time limits, unless the URL sets them otherwise. With ``tokens`` every new connection signs
    in with a token instead of a password, over TLS with the server's name checked unless the URL says
    otherwise.

    SQLite runs in WAL mode and takes its write lock when a transaction begins, so that two writers
    wait for each other instead of failing in the middle. Errors show the statement, never its values.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(
            parsed,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
            pool_pre_ping=True,
            connect_args={
                name: value for name, value in _POSTGRES_LIMITS.items() if name not in parsed.query
            },
            hide_parameters=True,
        )
        if tokens is not None:
            _sign_in_with(engine, tokens)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sign_in_with(engine: Engine, tokens: Tokens) -> None:
    def provide(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        parameters.setdefault("sslmode", "verify-full")
        if parameters["sslmode"].startswith("verify-"):
            # the bundled libpq knows no system store of certificates
            parameters.setdefault("sslrootcert", certifi.where())
        parameters["password"] = tokens.get()

    event.listen(engine, "do_connect", provide)


def needs_token(url: str) -> bool:
    """True for a PostgreSQL on another machine whose URL has no password."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" or parsed.password:
        return False
    return (parsed.host or "") not in _LOCAL_HOSTS and not (parsed.host or "").startswith("/")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # hands BEGIN over to _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


class Database:
    """Short transactions over one engine."""

    def __init__(self, engine: Engine, journal_wait_s: float = _BUSY_TIMEOUT_S) -> None:
        self.engine = engine
        self._journal_wait_s = journal_wait_s
        self._reader = engine.execution_options(sqlite_begin="DEFERRED")

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Its log events and counts are written after the block: the block does not see them.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            write_journal(session, self._journal_wait_s)
            session.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads and waits for no writer."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session


def _configured_engine(database: str | None = None) -> Engine:
    settings = get_settings()
    url = settings.database_url.get_secret_value()
    tokens = Tokens(get_credential(), _TOKEN_SCOPE, TOKEN_MARGIN_S) if needs_token(url) else None
    if database is not None:
        url = make_url(url).set(database=database).render_as_string(hide_password=False)
    return make_engine(url, tokens)


@lru_cache(maxsize=1)
def get_database() -> Database:
    """The database of this process."""
    return Database(_configured_engine())


def maintenance_engine() -> Engine:
    """The same server's database ``postgres``, where Azure keeps its functions for roles."""
    return _configured_engine("postgres")
