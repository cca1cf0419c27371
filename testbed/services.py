"""The services of a process whose environment names files, SQLite and the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagery.database.engine import get_database
from imagery.guardrail.sandbox import Sandbox, SandboxWorker
from imagery.services import Services, get_services
from imagery.settings import get_settings
from imagery.storage import get_storage
from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.schema import sqlite_with_schema
from testbed.servers import Server

_CACHES = (get_services, get_database, get_storage, get_settings)


def forget() -> None:
    """Read the environment again."""
    for cache in _CACHES:
        cache.cache_clear()


# idle workers of the guardrail that one test leaves to the next: starting one takes more than a second
_spare: list[SandboxWorker] = []
_start_worker = Sandbox._start


def _take_spare(sandbox: Sandbox) -> SandboxWorker:
    """In place of ``Sandbox._start``."""
    while _spare:
        worker = _spare.pop()
        if worker._process.poll() is None:
            return worker
    return _start_worker(sandbox)


def _keep_spare(sandbox: Sandbox) -> None:
    """In place of ``Sandbox.close``."""
    with sandbox._lock:
        _spare.extend(sandbox._idle)
        sandbox._idle = []
        sandbox._is_closed = True


@pytest.fixture
def simulator() -> Iterator[Server]:
    """A simulator that takes a fifth of a second for a picture."""
    server = Server(Simulator(SimulatorOptions(latency_s=0.2, hang_s=5.0)).app())
    yield server
    server.stop()


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Server) -> Iterator[Services]:
    """Fresh services."""
    monkeypatch.setattr(Sandbox, "_start", _take_spare)
    monkeypatch.setattr(Sandbox, "close", _keep_spare)
    monkeypatch.setenv("ENV", "DEV")
    monkeypatch.setenv("AzureWebJobsStorage", "")
    monkeypatch.setenv("LOCAL_STORAGE_PATH", str(tmp_path / "store"))
    monkeypatch.setenv("DATABASE_URL", sqlite_with_schema(tmp_path / "imagery.db"))
    monkeypatch.setenv("NANO_BANANA_BASE_URL", simulator.url)
    monkeypatch.setenv("NANO_BANANA_API_KEY", "simulator")
    forget()
    made = get_services()
    yield made
    made.guardrail.close()
    forget()
