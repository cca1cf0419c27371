"""Real parts for the tests: PostgreSQL, Azurite, and databases and stores over them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from imagery.database.engine import Database, make_engine
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import Storage, make_storage
from testbed.azurite import Azurite, start_azurite
from testbed.declared import Declared
from testbed.postgres import Postgres, PostgresMissingError, is_installed, start_postgres
from testbed.schema import postgres_database, sqlite_with_schema
from testbed.stack import Stack
from testbed.supervised import forbidden, revive
from tests.groups import order_of, scheduler

# what a fixture starts or loads; a test that uses none of these is a unit test
_SERVERS = {
    "postgres": "postgres",
    "azurite": "azurite",
    "own_azurite": "azurite",
    "browser": "browser",
    "stack": "stack",
    "host": "stack",
    "make_host": "stack",
    "world": "stack",
    "checkout": "stack",
    "cache": "models",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the servers that it uses, or as a unit test: ``-m unit`` chooses those."""
    for item in items:
        for fixture in _SERVERS.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(_SERVERS[fixture])
        if not any(item.get_closest_marker(mark) for mark in _SERVERS.values()):
            item.add_marker("unit")
    items.sort(key=lambda item: order_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With ``-n``: the tests of a group run on one worker."""
    return scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A unit test that starts a server fails: without its mark ``make check`` would run it."""
    if item.get_closest_marker("unit") is None:
        return (yield)
    with forbidden("the test has no mark for it, see _SERVERS in tests/conftest.py"):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A server that died is started again, and said to have died."""
    for what_happened in revive({mark.name for mark in item.iter_markers()}):
        item.warn(pytest.PytestWarning(what_happened))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; skipped only where none is installed."""
    try:
        server = start_postgres()
    except PostgresMissingError as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A running Azurite."""
    server = start_azurite(tmp_path_factory.mktemp("azurite"))
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new, empty PostgreSQL database."""
    return postgres_database(postgres)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


_ON_POSTGRES = pytest.param("postgresql", marks=pytest.mark.postgres)
# for what only many processes on one server do
ON_POSTGRES = pytest.mark.parametrize("migrated_url", [_ON_POSTGRES], indirect=True)


@pytest.fixture(params=["sqlite", _ON_POSTGRES])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind with the schema."""
    if request.param == "sqlite":
        return sqlite_with_schema(tmp_path / "test.db")
    return postgres_database(request.getfixturevalue("postgres"), with_schema=True)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """The same, connected."""
    engine = make_engine(migrated_url)
    yield Database(engine)
    engine.dispose()


def stack_environment(
    kind: str, folder: Path, request: pytest.FixtureRequest, azurite: Azurite | None = None
) -> dict[str, str]:
    """PROD: Azurite, shared if none is given, and PostgreSQL (SQLite where none is installed); DEV: files
    and SQLite. Variables only.
    """
    if kind == "DEV":
        return {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": str(folder / "store")}
    azurite = azurite or request.getfixturevalue("azurite")
    assert azurite is not None
    production = {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string}
    if not is_installed():
        return production
    url = postgres_database(request.getfixturevalue("postgres"), with_schema=True)
    return production | {"DATABASE_URL": url}


def _running_stack(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    running = Stack(folder, stack_environment(kind, folder, request))
    try:
        running.start()
        document = running.client.get("/openapi.json").json()
        # no test of the stack may see an answer that OpenAPI does not declare
        running.client.event_hooks["response"].append(Declared(document).check)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def prod_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """GPU service, simulator and host over Azurite and PostgreSQL: one for all tests of a worker."""
    yield from _running_stack("PROD", tmp_path_factory.mktemp("stack-prod"), request)


@pytest.fixture(scope="session")
def dev_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same over files and SQLite."""
    yield from _running_stack("DEV", tmp_path_factory.mktemp("stack-dev"), request)


def settings_for(kind: str, request: pytest.FixtureRequest, folder: Path) -> Settings:
    """ENV=DEV with files, or ENV=PROD with Azurite's connection string."""
    if kind == "local":
        return read(Settings, {"ENV": "DEV", "LOCAL_STORAGE_PATH": str(folder / "store")})
    azurite: Azurite = request.getfixturevalue("azurite")
    return read(Settings, {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string})


@pytest.fixture(params=["local", pytest.param("azure", marks=pytest.mark.azurite)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A store of each kind."""
    return make_storage(settings_for(request.param, request, tmp_path))
