"""What the app's own role may do in PostgreSQL: rows, and no schema."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

_ROWS = "SELECT, INSERT, UPDATE, DELETE"


def grant(engine: Engine, maintenance: Engine, role: str) -> None:
    """Let ``role`` read and write the rows of all tables, present and future.

    A role that does not exist yet becomes one of Entra ID, by a function that Azure keeps in the database
    ``maintenance`` is connected to. Raises ``sqlalchemy.exc.DBAPIError``.
    """
    with maintenance.begin() as connection:
        if not _exists(connection, role):
            connection.execute(text("SELECT pgaadauth_create_principal(:role, false, false)"), {"role": role})
    with engine.begin() as connection:
        quote = connection.dialect.identifier_preparer.quote
        name, database = quote(role), quote(str(engine.url.database))
        for statement in (
            f"GRANT CONNECT ON DATABASE {database} TO {name}",
            f"GRANT USAGE ON SCHEMA public TO {name}",
            f"GRANT {_ROWS} ON ALL TABLES IN SCHEMA public TO {name}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {_ROWS} ON TABLES TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {name}",
        ):
            connection.execute(text(statement))


def _exists(connection: Connection, role: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found.first() is not None
