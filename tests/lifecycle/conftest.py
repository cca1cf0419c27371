"""The services over real stores and databases: files with SQLite, Azurite with PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagery.contracts import JOBS, UPLOADS
from imagery.services import Services, get_services
from imagery.settings import layered
from testbed.azurite import Azurite, start_azurite
from testbed.schema import postgres_database, sqlite_with_schema
from testbed.services import forget
from tests.lifecycle.durable import Durable

SERVERS = (pytest.mark.azurite, pytest.mark.postgres)


@pytest.fixture(scope="session")
def own_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite whose ``uploads`` nobody else fills or watches."""
    server = start_azurite(tmp_path_factory.mktemp("own-azurite"))
    yield server
    server.stop()


@pytest.fixture
def variables() -> dict[str, str]:
    """Settings of a test's own, by ``parametrize``."""
    return {}


@pytest.fixture(params=["files and SQLite", pytest.param("Azurite and PostgreSQL", marks=SERVERS)])
def services(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> Iterator[Services]:
    """The services of a process, whose jobs are looked after at once."""
    settings = {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(tmp_path / "store"),
        "DATABASE_URL": sqlite_with_schema(tmp_path / "imagery.db"),
        "RECONCILE": "grace_s=0 restarts=2",
        "QUOTA": "batch_parallel=2",
    }
    if request.param == "Azurite and PostgreSQL":
        azurite: Azurite = request.getfixturevalue("own_azurite")
        settings["AzureWebJobsStorage"] = azurite.connection_string
        settings["DATABASE_URL"] = postgres_database(request.getfixturevalue("postgres"), with_schema=True)
    for name, value in layered(settings, variables).items():
        monkeypatch.setenv(name, value)
    forget()
    made = get_services()
    for container in (UPLOADS, JOBS):
        for ref in made.storage.list(container):
            made.storage.delete(ref)
    yield made
    made.guardrail.close()
    made.database.engine.dispose()
    forget()


@pytest.fixture
def durable() -> Durable:
    """A durable backend without instances."""
    return Durable()
