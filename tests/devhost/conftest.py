"""Hosts with the sample app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devhost.process import HostProcess


@pytest.fixture(scope="package")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host that many tests share: each uses ids and names of its own."""
    running = HostProcess(tmp_path_factory.mktemp("host"))
    running.start()
    yield running
    running.close()


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., HostProcess]]:
    """A host of the test's own, not started yet; ended with the test."""
    made: list[HostProcess] = []

    def make(**environment: str) -> HostProcess:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(HostProcess(folder, **environment))
        return made[-1]

    yield make
    for each in made:
        each.close()
