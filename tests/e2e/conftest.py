"""The running stack, once with Azurite as in production and once with files as in development."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azurite import Azurite
from tests.e2e.stack import PHOTO, Stack


def environment_of(kind: str, request: pytest.FixtureRequest, folder: str) -> dict[str, str]:
    """ENV=PROD with Azurite's connection string, or ENV=DEV with LocalStorage: variables only."""
    if kind == "DEV":
        return {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": folder}
    azurite: Azurite = request.getfixturevalue("azurite")
    return {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string}


@pytest.fixture(scope="session", params=["PROD", "DEV"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All pieces, running."""
    folder = tmp_path_factory.mktemp(f"stack-{request.param.lower()}")
    running = Stack(folder, environment_of(request.param, request, str(folder / "store")))
    try:
        running.start()
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
