"""``GET /healthz``: each dependency with its state and the reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy import text

from api.auth import MaybeCaller
from api.durable import durable_client
from api.errors import ApiError
from api.problems import Responses, problems
from api.views import View
from imagery import __version__
from imagery.contracts import UPLOADS, BlobRef, GpuHealth
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.gpu_answers import LastAnswer
from imagery.database.migrate import current_revision, head_revision
from imagery.gpu_client import HEALTH_TIMEOUT_S
from imagery.providers.model_watch import REMEDIES, ModelWatch, told
from imagery.services import PaidRoute, Services, get_services

router = APIRouter(tags=["operations"])
State = Literal["ok", "degraded", "down"]
DependencyState = Literal["ok", "idle", "unknown", "degraded", "down"]
_LIMIT_S = 5.0
# all who ask within this time get the same answer
LOOK_EVERY_S = 2.0
# quiet seconds after which a replica goes to sleep: cooldownPeriod in infra/modules/gpu-app.bicep
_GPU_QUIET_S = 300
_GPU_HEALTHY = {"READY", "BUSY"}
_DAY_S = 24 * 3600
_PROBE = "healthz-probe"
# for a look at the image model that is under way
_PATIENCE_S = 1.0
_OPERATORS_PROBE = "Only operators may wake the GPU service. Ask one of them, or leave `probe` out."


class GpuReading(View):
    """What the GPU service said of itself when it last answered; nobody has asked it since."""

    last_answered_at: datetime
    age_s: float
    health: GpuHealth


class DependencyHealth(View):
    """One dependency; ``reason`` says what is wrong and what follows from it.

    Idle: it works when it is called, and was not called for a while. Unknown: it never was.
    """

    state: DependencyState
    reason: str | None = None
    duration_ms: float = 0.0
    reading: GpuReading | None = Field(default=None, description="Of the GPU service only.")


class HealthReport(View):
    """The worst of what jobs can't do without, and every dependency."""

    status: State
    version: str
    dependencies: dict[str, DependencyHealth]


_DOWN: Responses = {503: {"model": HealthReport, "description": "Jobs can't be accepted now."}}


@router.get("/healthz", responses={**_DOWN, **problems(403, 411, 413, 422, 500)})
async def get_health(
    response: Response,
    caller: MaybeCaller,
    probe: Annotated[bool, Query(description="Ask the GPU service itself: for operators.")] = False,
) -> HealthReport:
    """Get the state of the service and of each thing it depends on.

    200 while jobs are accepted, also when they wait for a stage; 503 when they are not. Only callers with
    an API key see the reasons and the reading of the GPU service.

    The GPU service is not asked, because it sleeps while there is no work: its state is that of its last
    answer to a job. `probe=true` asks it, which wakes it and costs the time until it sleeps again. Anybody
    but an operator gets 403 for that.
    """
    if probe and not (caller and caller.sees_everything):
        raise ApiError(403, "operator_only", _OPERATORS_PROBE)
    by_name = await (_look(get_services(), _probed_gpu) if probe else _shared_look())
    found = list(by_name.values())
    shown = found if caller else [each.model_copy(update={"reason": None, "reading": None}) for each in found]
    dependencies = dict(zip(by_name, shown, strict=True))
    status: State = "ok"
    if any(each.state == "down" for each in found):
        status = "down"
    elif any(each.state == "degraded" for each in found):
        status = "degraded"
    response.status_code = 503 if status == "down" else 200
    return HealthReport(status=status, version=__version__, dependencies=dependencies)


class _SharedLook:
    """One look at all dependencies for all callers, and a new one when it is ``LOOK_EVERY_S`` old."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._task: asyncio.Task[dict[str, DependencyHealth]] | None = None
        self._ended_at = 0.0

    async def result(self) -> dict[str, DependencyHealth]:
        task = self._task
        if task is None or (task.done() and time.monotonic() - self._ended_at >= LOOK_EVERY_S):
            task = self._task = asyncio.create_task(_look(self.services, _gpu))
            task.add_done_callback(self._end)
        # a caller that goes away takes nobody's answer along
        return await asyncio.shield(task)

    def _end(self, _: object) -> None:
        self._ended_at = time.monotonic()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedLook] = WeakKeyDictionary()


async def _shared_look() -> dict[str, DependencyHealth]:
    loop, services = asyncio.get_running_loop(), get_services()
    shared = _shared.get(loop)
    if shared is None or shared.services is not services:
        shared = _shared[loop] = _SharedLook(services)
    return await shared.result()


async def _look(services: Services, gpu: Callable[[], DependencyHealth]) -> dict[str, DependencyHealth]:
    threads = _threads(services)
    checks: dict[str, Awaitable[DependencyHealth]] = {
        "database": threads["database"].ask(_database),
        "storage": threads["storage"].ask(_storage),
        "durable": _durable(),
        "gpu": threads["gpu"].ask(gpu),
        "nano_banana": threads["nano_banana"].ask(_nano_banana),
        "nano_banana_fallback": threads["nano_banana_fallback"].ask(_nano_banana_fallback),
        "content_safety": threads["content_safety"].ask(_content_safety),
    }
    found = await asyncio.gather(*(_limited(check) for check in checks.values()))
    return dict(zip(checks, found, strict=True))


class _OneThread:
    """A thread for the checks of one dependency: while one hangs no other is begun."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"health-{name}")
        self._hanging: Future[DependencyHealth] | None = None

    async def ask(self, check: Callable[[], DependencyHealth]) -> DependencyHealth:
        if self._hanging is None or self._hanging.done():
            self._hanging = self._pool.submit(check)
        return await asyncio.wrap_future(self._hanging)


@lru_cache(maxsize=1)
def _threads(_: Services) -> dict[str, _OneThread]:
    names = ("database", "storage", "gpu", "nano_banana", "nano_banana_fallback", "content_safety")
    return {name: _OneThread(name) for name in names}


async def _limited(check: Awaitable[DependencyHealth]) -> DependencyHealth:
    started = time.perf_counter()
    try:
        found = await asyncio.wait_for(asyncio.shield(check), _LIMIT_S)
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
    error = told(circuit.last_error) if circuit.last_error in REMEDIES else circuit.last_error
    return DependencyHealth(
        state="degraded", reason=f"circuit {circuit.state.value}{until} ({error}); jobs wait"
    )


def _gpu() -> DependencyHealth:
    """By its last answer; an open circuit comes first."""
    last = get_services().gpu_answers.last()
    found = _circuit(GuardedDependency.GPU) or _by_last_answer(last)
    if last is None:
        return found
    reading = GpuReading(last_answered_at=last.answered_at, age_s=round(last.age_s, 1), health=last.health)
    return found.model_copy(update={"reading": reading})


def _probed_gpu() -> DependencyHealth:
    """The same, after it was asked."""
    services = get_services()
    health = services.gpu.health()
    if health is not None:
        services.gpu_answers.keep(health)
        return _gpu()
    found = _gpu()
    reason = f"no response within {HEALTH_TIMEOUT_S:.0f} s, it may be starting ({found.reason})"
    return found.model_copy(update={"state": "degraded", "reason": reason})


def _by_last_answer(last: LastAnswer | None) -> DependencyHealth:
    if last is None:
        return DependencyHealth(state="unknown", reason="no job has needed it yet")
    day = "" if last.age_s < _DAY_S else f"{last.answered_at:%Y-%m-%d} "
    when = f"last answered {day}{last.answered_at:%H:%M} UTC"
    if last.age_s >= _GPU_QUIET_S:
        return DependencyHealth(state="idle", reason=when)
    if last.health.state in _GPU_HEALTHY:
        return DependencyHealth(state="ok", reason=when)
    reason = f"GPU service is {last.health.state}; jobs wait at their GPU stage ({when})"
    return DependencyHealth(state="degraded", reason=reason)


def _content_safety() -> DependencyHealth:
    if not get_services().settings.content_safety.endpoint:
        return DependencyHealth(state="ok", reason="not used")
    return _circuit(GuardedDependency.CONTENT_SAFETY) or DependencyHealth(state="ok")


def _nano_banana() -> DependencyHealth:
    return _provider(get_services().paid_routes[0])


def _nano_banana_fallback() -> DependencyHealth:
    _, *others = get_services().paid_routes
    return _provider(others[0]) if others else DependencyHealth(state="ok", reason="not used")


def _provider(route: PaidRoute) -> DependencyHealth:
    broken = _circuit(route.dependency)
    if broken:
        return broken
    settings = get_services().settings
    if settings.simulated:
        return DependencyHealth(state="ok", reason=f"simulated at {route.provider.address}, nothing is paid")
    missing = route.provider.missing()
    if missing is not None:
        return DependencyHealth(state="degraded", reason=f"{missing} Jobs fail at that stage.")
    look = _model_watch(route).last(_PATIENCE_S)
    if look is None:
        return DependencyHealth(state="unknown", reason="it was asked and has not answered yet")
    return DependencyHealth(state="ok" if look.is_usable else "degraded", reason=str(look))


@lru_cache(maxsize=2)
def _model_watch(route: PaidRoute) -> ModelWatch:
    return ModelWatch(route.provider)
