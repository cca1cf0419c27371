"""The stack that the load goes to: one that runs already, or a fresh one as in production."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imagery.database.engine import make_engine
from imagery.database.migrate import upgrade
from testbed.azurite import Azurite, start_azurite
from testbed.clients import NOTHING_KEPT
from testbed.postgres import Postgres, is_installed, start_postgres
from testbed.stack import ROOT, Piece, Stack

STATE = ROOT / ".run/state.json"
# unlike prices, so that a picture that is charged as another one is noticed
_PRICES = {"gemini-nano-banana-2.1": {"1K": "0.0336", "2K": "0.0504", "4K": "0.113"}}
_FRESH = {
    "QUOTA": "concurrent_jobs=100000",
    "STAGE_CACHE": "user",
    "NANO_BANANA_RETRY": "timeout_s=15 attempts=8",
    "NANO_BANANA_PRICES": "models="
    + ";".join(
        f"{model}:" + ",".join(f"{size}={usd}" for size, usd in sizes.items())
        for model, sizes in _PRICES.items()
    ),
    "RECONCILE": "restarts=100",
    "CIRCUIT": "failures=10",
}


@dataclass
class Target:
    """Where jobs are sent and where the bill is; ``stack`` only where this process started it."""

    api: httpx.Client
    simulator: httpx.Client
    stack: Stack | None = None
    azurite: Azurite | None = None
    postgres: Postgres | None = None

    def bill(self) -> dict[str, Any]:
        """What the simulator has billed."""
        told: dict[str, Any] = self.simulator.get("/_simulator/bill").json()
        return told


@contextmanager
def running() -> Iterator[Target | None]:
    """The stack of ``make run``, None where none runs."""
    if not STATE.exists():
        yield None
        return
    state = json.loads(STATE.read_text())
    headers = {"X-API-Key": state["api_key"]}
    with (
        httpx.Client(base_url=state["urls"]["host"], headers=headers, timeout=60, limits=NOTHING_KEPT) as api,
        httpx.Client(base_url=state["urls"]["nano_banana"], timeout=30, limits=NOTHING_KEPT) as simulator,
    ):
        yield Target(api, simulator)


@contextmanager
def fresh(folder: Path, more: dict[str, str] | None = None) -> Iterator[Target]:
    """Azurite, PostgreSQL (SQLite where it is not installed), GPU service, simulator and host.

    ``more``: settings of the host beside those of every load.
    """
    folder.chmod(0o755)
    postgres = start_postgres() if is_installed() else None
    (folder / "azurite").mkdir()
    azurite = start_azurite(folder / "azurite")
    environment = {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string, **_FRESH, **(more or {})}
    if postgres:
        environment["DATABASE_URL"] = postgres.url
        engine = make_engine(postgres.url)
        upgrade(engine)
        engine.dispose()
    stack = Stack(folder, environment)
    # the bill must outlive the simulator, which is killed too
    stack.simulator.command += ["--bill-file", str(folder / "bill.json")]
    on_the_bill = [f"{model}/{size}={usd}" for model, sizes in _PRICES.items() for size, usd in sizes.items()]
    stack.simulator.command += ["--prices", " ".join(on_the_bill)]
    try:
        stack.start()
        yield Target(stack.client, stack.bill_client, stack, azurite, postgres)
    finally:
        stack.stop()
        azurite.stop()
        if postgres:
            postgres.close()


def kill_and_start(piece: Piece, down_s: float) -> None:
    """kill -9, a while of nothing, and up again."""
    piece.stop(signal.SIGKILL)
    time.sleep(down_s)
    piece.start()
    piece.wait_ready()
