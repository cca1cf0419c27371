"""The services of one process, and a watch over the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from imagery.database.engine import Database
from imagery.gpu_client import GpuClient
from imagery.storage import LocalStorage
from testbed.services import services, simulator

__all__ = ["services", "simulator"]

# what waits for a disk or for another machine
_BLOCKING: dict[type, tuple[str, ...]] = {
    Database: ("read", "write"),
    GpuClient: ("health", "progress", "cancel"),
    LocalStorage: ("properties", "exists", "read", "read_start", "write", "copy", "delete", "list"),
}


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One call that hangs on the event loop is every caller's: the app makes none there."""
    blocked: list[str] = []

    def watch(owner: type, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def watched(*given: Any, **named: Any) -> Any:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return original(*given, **named)
            blocked.append(f"{owner.__name__}.{name}")
            return original(*given, **named)

        monkeypatch.setattr(owner, name, watched)

    for owner, names in _BLOCKING.items():
        for name in names:
            watch(owner, name)
    yield
    assert blocked == [], "called on the event loop"
