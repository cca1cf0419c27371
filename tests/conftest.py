"""Real parts for the tests: PostgreSQL, Azurite, and databases and stores over them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from imagery.database.engine import Database, make_engine
from imagery.database.migrate import upgrade
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import Storage, make_storage
from testbed.azurite import Azurite, start_azurite
from testbed.postgres import Postgres, PostgresMissingError, start_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server; skipped only where none is installed."""
    try:
        server = start_postgres(tmp_path_factory.mktemp("postgres") / "cluster")
    except PostgresMissingError as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A running Azurite."""
    server = start_azurite(tmp_path_factory.mktemp("azurite"))
    yield server
    server.stop()


def new_database(postgres: Postgres) -> str:
    """The URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    engine = make_engine(postgres.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.url_of(name)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new, empty PostgreSQL database."""
    return new_database(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of each kind with the schema."""
    engine = make_engine(database_url)
    upgrade(engine)
    yield Database(engine)
    engine.dispose()


def settings_for(kind: str, request: pytest.FixtureRequest, folder: Path) -> Settings:
    """ENV=DEV with files, or ENV=PROD with Azurite's connection string."""
    if kind == "local":
        return read(Settings, {"ENV": "DEV", "LOCAL_STORAGE_PATH": str(folder / "store")})
    azurite: Azurite = request.getfixturevalue("azurite")
    return read(Settings, {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string})


@pytest.fixture(params=["local", "azure"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A store of each kind."""
    return make_storage(settings_for(request.param, request, tmp_path))
