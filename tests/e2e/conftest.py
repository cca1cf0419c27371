"""The running stack, once with Azurite as in production and once with files as in development."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.pictures import small_photo
from testbed.stack import Stack

# for what depends on the store, the database or the rules of a laptop
BOTH = pytest.mark.parametrize("stack", ["PROD", "DEV"], indirect=True)
DEV_ONLY = pytest.mark.parametrize("stack", ["DEV"], indirect=True)


@pytest.fixture(scope="session", params=["PROD"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """All pieces, running, as in the cloud unless a test says otherwise."""
    running: Stack = request.getfixturevalue(f"{request.param.lower()}_stack")
    return running


@pytest.fixture(scope="session")
def photo() -> bytes:
    """The bundled photo, small."""
    return small_photo()


@pytest.fixture(autouse=True)
def put_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """What one test did to the stack must not reach the next."""
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").put_back()
