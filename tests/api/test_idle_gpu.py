"""Nothing but work calls the GPU service: a replica that is asked for its health never sleeps."""

from __future__ import annotations

import asyncio
import queue
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.remove_background import remove_background
from api.app import create_app
from api.durable import with_client
from imagery.contracts import (
    GpuHealth,
    GpuQueue,
    GpuReport,
    GpuRequest,
    JobState,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    stage_output,
)
from imagery.database.circuits import GuardedDependency
from imagery.database.tables import GpuAnswer, utc_now
from imagery.principal import Role
from imagery.reporting import push
from imagery.services import Services, get_services
from imagery.telemetry.exporters.base import MetricItem
from lifecycle.reconciler import reconcile
from lifecycle.retention import retain
from testbed.servers import Server
from testbed.services import forget
from tests.api.test_app import call
from tests.lifecycle.durable import Durable
from tests.lifecycle.jobs import begin, make_job

HOUR_S = 3600
# more than what one question's answer was ever remembered for
TICK_S = 60
HEALTH = GpuHealth(
    state="READY",
    version="1",
    device="cuda",
    replica="r1",
    models={"rembg": "ok", "realesrgan": "ok"},
    queue=GpuQueue(running=0, limit=16),
    vram_used_gb=3.5,
    vram_peak_gb=5.25,
)
WORK = "POST /v1/remove-background"
PROBE = "GET /healthz"


class GpuService:
    """Stands for the GPU service, and keeps what it is asked. ``health`` None: of version 0.1."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.health: GpuHealth | None = HEALTH

    async def answer(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "GET":
            return JSONResponse(HEALTH.to_json())
        report = GpuReport(
            output=GpuRequest.from_json(await request.json()).target,
            width=8,
            height=8,
            duration_ms=1.0,
            vram_used_gb=HEALTH.vram_used_gb,
            vram_peak_gb=HEALTH.vram_peak_gb,
            device=HEALTH.device,
            model="isnet",
            health=self.health,
        )
        told = report.to_json()
        if self.health is None:
            del told["health"]
        return JSONResponse(told)


@pytest.fixture
def gpu(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuService]:
    """A GPU service that counts, in place of the one of the settings."""
    service = GpuService()
    server = Server(Starlette(routes=[Route("/{path:path}", service.answer, methods=["GET", "POST"])]))
    monkeypatch.setenv("GPU_SERVICE_URL", server.url)
    forget()
    yield service
    get_services().guardrail.close()
    server.stop()


def work() -> JsonObject:
    """One job's call of the GPU service."""
    services = get_services()
    job = make_job(services)
    begin(services, job)
    services.stages.succeed(job.job_id, Stage.GUARDRAIL, stage_output(job.job_id, Stage.GUARDRAIL))
    order = StageInput(job_id=job.job_id, run=1, stage=Stage.REMBG, deadline=job.deadline)
    outcome = remove_background(order.to_json())
    services.jobs.finish(job.job_id, 1, JobState.FAILED)
    return outcome


def age(answer: timedelta) -> None:
    """Let the last answer be so old."""
    with get_services().database.write() as session:
        row = session.exec(select(GpuAnswer)).one()
        row.answered_at = utc_now() - answer


def key_of(role: Role) -> str:
    return get_services().users.create(f"{role.value} {time.monotonic_ns()}", role)[1]


def health_of_gpu(path: str = "/healthz", key: str | None = None) -> dict[str, Any]:
    """The GPU service in the report to an operator."""
    answer = get(create_app(), path, key_of(Role.OPERATOR) if key is None else key)
    found: dict[str, Any] = answer.json()["dependencies"]["gpu"]
    return found


class Clock:
    """The time of the modules that wait for it to pass."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Exported:
    """An exporter that keeps what is pushed."""

    def __init__(self) -> None:
        self.pushed: queue.Queue[list[MetricItem]] = queue.Queue()

    def metrics(self, items: list[MetricItem]) -> None:
        self.pushed.put(items)


def dashboard(app: FastAPI, key: str) -> list[tuple[float, Callable[[], object]]]:
    """What one open dashboard asks, and how often (s), as its pages do."""
    paths = {
        "/healthz": 10,
        "/api/v1/metrics": 5,
        "/api/v1/circuit-breakers": 5,
        "/api/v1/jobs": 3,
        "/api/v1/me": 20,
        "/api/v1/spend": 15,
    }
    return [(every_s, partial(get, app, path, key)) for path, every_s in paths.items()]


def get(app: FastAPI, path: str, key: str) -> httpx.Response:
    with with_client(Durable().client):
        answer = call(app, "GET", path, headers={"X-API-Key": key})
    assert answer.status_code == 200, answer.text
    return answer


def idle_hour(clock: Clock, exported: Exported) -> list[MetricItem]:
    """Everything that goes on by itself while nobody sends a photo. Returns what was exported last."""
    app, durable, key = create_app(), Durable(), key_of(Role.OPERATOR)
    items: list[MetricItem] = []

    def tick() -> None:
        asyncio.run(reconcile(durable.client))
        push.push_metrics()
        items[:] = exported.pushed.get(timeout=30)

    callers: list[tuple[float, Callable[[], object]]] = [
        (60, tick),
        (600, lambda: asyncio.run(retain(durable.client))),
        (30, lambda: get(app, "/api/v1/metrics", key)),
        (60, lambda: get(app, "/healthz", "")),
        *dashboard(app, key),
    ]
    for second in range(0, HOUR_S, TICK_S):
        clock.now_s += TICK_S
        for every_s, ask in callers:
            if second % every_s < TICK_S:
                ask()
    return items


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(push, "time", clock)
    monkeypatch.setattr(push, "_last", [])
    return clock


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Exported:
    exported = Exported()
    monkeypatch.setattr(push, "exporter_in_use", lambda: exported)
    return exported


@pytest.mark.slow
def test_an_idle_hour_makes_no_call(gpu: GpuService, clock: Clock, exported: Exported) -> None:
    work()
    assert gpu.asked == [WORK], "the service counts what it is asked"
    told = {item.name: (item.labels, item.value) for item in idle_hour(clock, exported)}
    assert gpu.asked == [WORK]
    assert told["gpu_vram_usage_gauge"] == ({"replica": "r1"}, 3.5)
    assert told["gpu_vram_peak_gauge"] == ({"replica": "r1"}, 5.25)
    assert told["gpu_last_answer_age_seconds"][1] > 0


def test_a_service_that_was_never_needed_is_unknown_and_not_unhealthy(gpu: GpuService) -> None:
    report = get(create_app(), "/healthz", key_of(Role.OPERATOR)).json()
    told = report["dependencies"]["gpu"]
    assert (report["status"], told["state"], told["reading"]) == ("ok", "unknown", None)
    assert "gpu_vram_usage_gauge{" not in get(create_app(), "/api/v1/metrics", key_of(Role.OPERATOR)).text
    assert gpu.asked == []


def test_the_report_of_a_job_is_the_reading(gpu: GpuService) -> None:
    work()
    told = health_of_gpu()
    assert told["state"] == "ok"
    assert told["reading"]["health"] == HEALTH.to_json()
    assert utc_now() - datetime.fromisoformat(told["reading"]["last_answered_at"]) < timedelta(minutes=5)
    gpu.health = HEALTH.model_copy(update={"vram_used_gb": 4.5})
    work()
    assert health_of_gpu()["reading"]["health"]["vram_used_gb"] == 4.5
    assert gpu.asked == [WORK] * 2


@pytest.mark.parametrize(
    ("quiet", "state", "words"),
    [
        (timedelta(seconds=200), "ok", r"last answered \d\d:\d\d UTC"),
        (timedelta(seconds=301), "idle", r"last answered \d\d:\d\d UTC"),
        (timedelta(days=2), "idle", r"last answered \d{4}-\d\d-\d\d \d\d:\d\d UTC"),
    ],
)
def test_after_five_quiet_minutes_it_is_idle(
    gpu: GpuService, quiet: timedelta, state: str, words: str
) -> None:
    work()
    age(quiet)
    told = health_of_gpu()
    assert told["state"] == state
    assert re.fullmatch(words, told["reason"])
    assert told["reading"]["age_s"] == pytest.approx(quiet.total_seconds(), abs=60)
    assert gpu.asked == [WORK]


def test_without_a_key_there_is_the_state_and_nothing_else(gpu: GpuService) -> None:
    work()
    told = health_of_gpu(key="")
    assert (told["state"], told["reason"], told["reading"]) == ("ok", None, None)


def test_a_model_that_is_missing_is_told_while_the_replica_is_awake(gpu: GpuService) -> None:
    models = {"rembg": "ok", "realesrgan": "corrupt"}
    gpu.health = HEALTH.model_copy(update={"state": "SETUP_FAILED", "models": models})
    work()
    told = health_of_gpu()
    assert (told["state"], "SETUP_FAILED" in told["reason"]) == ("degraded", True)
    age(timedelta(hours=1))
    assert health_of_gpu()["state"] == "idle"


def test_an_open_circuit_comes_first(gpu: GpuService) -> None:
    work()
    get_services().circuits.open_by_hand(GuardedDependency.GPU, "ann")
    told = health_of_gpu()
    assert (told["state"], "circuit open" in told["reason"]) == ("degraded", True)
    assert told["reading"]["health"]["replica"] == "r1"


def test_an_operator_asks_the_service_itself(gpu: GpuService) -> None:
    told = health_of_gpu("/healthz?probe=true")
    assert (told["state"], told["reading"]["health"]) == ("ok", HEALTH.to_json())
    assert gpu.asked == [PROBE]
    assert health_of_gpu()["reading"]["health"]["replica"] == "r1", "others see the answer"


@pytest.mark.parametrize("role", [None, Role.USER])
def test_nobody_else_wakes_it(gpu: GpuService, role: Role | None) -> None:
    key = key_of(role) if role else ""
    answer = call(create_app(), "GET", "/healthz?probe=true", headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (403, "operator_only")
    assert gpu.asked == []


def test_a_probe_without_a_response_says_so(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.gpu, "health", lambda: None)
    told = health_of_gpu("/healthz?probe=true")
    assert (told["state"], "no response within 2 s" in told["reason"]) == ("degraded", True)


def test_a_job_succeeds_where_its_answer_can_not_be_kept(gpu: GpuService) -> None:
    with get_services().database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE gpu_answer")
    assert work()["outcome"] == StageOutcome.SUCCEEDED
    assert gpu.asked == [WORK]


def test_a_report_of_version_0_1_is_still_read(gpu: GpuService) -> None:
    gpu.health = None
    assert work()["outcome"] == StageOutcome.SUCCEEDED
    assert health_of_gpu()["state"] == "unknown"
