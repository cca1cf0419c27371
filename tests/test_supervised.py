"""A server that dies costs no test but the one that it died in."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from imagery.contracts import JOBS, BlobRef
from imagery.database.engine import make_engine
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import make_storage
from testbed import supervised
from testbed.azurite import start_azurite
from testbed.postgres import start_postgres
from testbed.schema import postgres_database


@pytest.mark.postgres
def test_a_killed_postgres_is_started_again_with_its_data_and_named() -> None:
    server = start_postgres()
    try:
        url = postgres_database(server)
        os.kill(server.pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait(10)
        (sentence,) = supervised.revive({"postgres"})
        assert sentence.startswith("PostgreSQL died and was started again.")
        assert "database system is ready to accept connections" in sentence
        with make_engine(url).connect():
            pass
        assert supervised.revive({"postgres"}) == []
    finally:
        server.close()


@pytest.mark.azurite
def test_a_killed_azurite_is_started_again_and_named(tmp_path: Path) -> None:
    server = start_azurite(tmp_path)
    try:
        variables = {"ENV": "PROD", "AzureWebJobsStorage": server.connection_string}
        storage = make_storage(read(Settings, variables))
        assert server.process is not None
        server.process.kill()
        server.process.wait(10)
        (sentence,) = supervised.revive({"azurite"})
        assert sentence.startswith("Azurite died and was started again.")
        # what it had not written to its file yet is lost, containers too
        storage.ensure_containers(JOBS)
        ref = storage.write(BlobRef(container=JOBS, name="a"), b"new", "text/plain")
        assert storage.read(ref) == b"new"
    finally:
        server.stop()


@pytest.mark.postgres
def test_one_that_does_not_start_again_is_the_same_clear_error_for_whoever_needs_it(tmp_path: Path) -> None:
    server = start_postgres()
    try:
        server.stop()
        supervised.keep(server)
        shutil.move(server.directory / "postgresql.conf", tmp_path)
        server.start_limit_s = 1.0
        for _ in range(2):
            with pytest.raises(supervised.ServerLostError, match="PostgreSQL died and does not start again"):
                supervised.revive({"postgres"})
        with pytest.raises(supervised.ServerLostError):
            supervised.revive({"stack"})
        assert supervised.revive({"unit", "azurite"}) == []
    finally:
        server.close()


@pytest.mark.postgres
def test_one_that_is_stopped_on_purpose_stays_away() -> None:
    server = start_postgres()
    server.close()
    assert supervised.revive({"postgres"}) == []


def test_a_unit_test_starts_no_server(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Azurite may not be started here"):
        start_azurite(tmp_path)
