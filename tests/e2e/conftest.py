"""The running stack, once with Azurite as in production and once with files as in development."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imagery.database.engine import make_engine
from imagery.database.migrate import upgrade
from testbed.azurite import Azurite
from testbed.declared import Declared
from testbed.postgres import Postgres, is_installed
from testbed.stack import PHOTO, Stack
from tests.conftest import new_database


def environment_of(kind: str, request: pytest.FixtureRequest, folder: str) -> dict[str, str]:
    """ENV=PROD with Azurite and PostgreSQL (SQLite where none is installed), or ENV=DEV with files and
    SQLite: variables only.
    """
    if kind == "DEV":
        return {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": folder}
    azurite: Azurite = request.getfixturevalue("azurite")
    production = {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string}
    if not is_installed():
        return production
    postgres: Postgres = request.getfixturevalue("postgres")
    url = new_database(postgres)
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
    return production | {"DATABASE_URL": url}


@pytest.fixture(scope="session", params=["PROD", "DEV"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All pieces, running."""
    folder = tmp_path_factory.mktemp(f"stack-{request.param.lower()}")
    running = Stack(folder, environment_of(request.param, request, str(folder / "store")))
    try:
        running.start()
        document = running.client.get("/openapi.json").json()
        # no test of the stack may see an answer that OpenAPI does not declare
        running.client.event_hooks["response"].append(Declared(document).check)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """The bundled photo."""
    return PHOTO.read_bytes()


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Faults that one test left pending must not reach the next."""
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").bill_client.delete("/_simulator/faults")
