"""``GET /healthz``: each dependency with its state and the reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter, Response
from sqlalchemy import text

from api.auth import MaybeCaller
from api.durable import durable_client
from api.problems import Responses, problems
from api.views import View
from imagery import __version__
from imagery.contracts import UPLOADS, BlobRef
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.migrate import current_revision, head_revision
from imagery.services import get_services

router = APIRouter(tags=["operations"])
State = Literal["ok", "degraded", "down"]
_LIMIT_S = 5.0
_PROBE = "healthz-probe"


class DependencyHealth(View):
    """One dependency; ``reason`` says what is wrong and what follows from it."""

    state: State
    reason: str | None = None
    duration_ms: float = 0.0


class HealthReport(View):
    """The worst of what jobs can't do without, and every dependency."""

    status: State
    version: str
    dependencies: dict[str, DependencyHealth]


_DOWN: Responses = {503: {"model": HealthReport, "description": "Jobs can't be accepted now."}}


@router.get("/healthz", responses={**_DOWN, **problems(411, 413, 500)})
async def get_health(response: Response, caller: MaybeCaller) -> HealthReport:
    """Get the state of the service and of each thing it depends on.

    200 while jobs are accepted, also when they wait for a stage; 503 when they are not. Only callers with
    an API key see the reasons.
    """
    checks: dict[str, Callable[[], Awaitable[DependencyHealth]]] = {
        "database": lambda: asyncio.to_thread(_database),
        "storage": lambda: asyncio.to_thread(_storage),
        "durable": _durable,
        "gpu": lambda: asyncio.to_thread(_gpu),
        "nano_banana": lambda: asyncio.to_thread(_nano_banana),
        "content_safety": lambda: asyncio.to_thread(_content_safety),
    }
    found = await asyncio.gather(*(_limited(check) for check in checks.values()))
    shown = found if caller else [each.model_copy(update={"reason": None}) for each in found]
    dependencies = dict(zip(checks, shown, strict=True))
    status: State = "ok"
    if any(each.state == "down" for each in found):
        status = "down"
    elif any(each.state == "degraded" for each in found):
        status = "degraded"
    response.status_code = 503 if status == "down" else 200
    return HealthReport(status=status, version=__version__, dependencies=dependencies)


async def _limited(check: Callable[[], Awaitable[DependencyHealth]]) -> DependencyHealth:
    started = time.perf_counter()
    try:
        found = await asyncio.wait_for(check(), _LIMIT_S)
    except TimeoutError:
        found = DependencyHealth(state="down", reason=f"no response within {_LIMIT_S:.0f} s")
    except Exception as error:
        found = DependencyHealth(state="down", reason=type(error).__name__)
    return found.model_copy(update={"duration_ms": round((time.perf_counter() - started) * 1000, 1)})


def _database() -> DependencyHealth:
    database = get_services().database
    with database.read() as session:
        session.execute(text("SELECT 1"))
    revision, expected = current_revision(database.engine), head_revision()
    if revision != expected:
        reason = f"schema is at {revision}, the code needs {expected}: python -m imagery.database upgrade"
        return DependencyHealth(state="down", reason=reason)
    return DependencyHealth(state="ok")


def _storage() -> DependencyHealth:
    get_services().storage.exists(BlobRef(container=UPLOADS, name=_PROBE))
    return DependencyHealth(state="ok")


async def _durable() -> DependencyHealth:
    await durable_client().get_status(_PROBE)
    return DependencyHealth(state="ok")


def _circuit(dependency: GuardedDependency) -> DependencyHealth | None:
    """What an open circuit means for jobs; None while calls go through."""
    circuit = get_services().circuits.state(dependency)
    if circuit.state is CircuitState.CLOSED:
        return None
    until = f" until {circuit.probe_at:%H:%M:%S} UTC" if circuit.probe_at else ""
    if circuit.forced:
        until = " until it is closed by hand"
    return DependencyHealth(
        state="degraded", reason=f"circuit {circuit.state.value}{until} ({circuit.last_error}); jobs wait"
    )


def _gpu() -> DependencyHealth:
    broken = _circuit(GuardedDependency.GPU)
    if broken:
        return broken
    report: dict[str, Any] = get_services().gpu.health()
    state = report.get("state", "UNREACHABLE")
    if state in {"READY", "BUSY"}:
        return DependencyHealth(state="ok")
    return DependencyHealth(state="degraded", reason=f"GPU service is {state}; jobs wait at their GPU stage")


def _content_safety() -> DependencyHealth:
    if not get_services().settings.content_safety.endpoint:
        return DependencyHealth(state="ok", reason="not used")
    return _circuit(GuardedDependency.CONTENT_SAFETY) or DependencyHealth(state="ok")


def _nano_banana() -> DependencyHealth:
    broken = _circuit(GuardedDependency.NANO_BANANA)
    if broken:
        return broken
    settings = get_services().settings
    if settings.simulated:
        return DependencyHealth(
            state="ok", reason=f"simulated at {settings.nano_banana.base_url}, nothing is paid"
        )
    if settings.nano_banana.api_key is None:
        return DependencyHealth(
            state="degraded", reason="NANO_BANANA_API_KEY is not set; jobs fail at that stage"
        )
    return DependencyHealth(state="ok")
