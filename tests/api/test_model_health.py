"""``/healthz`` says whether the image model would take a call, and asks it once in ten minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.app import create_app
from imagery.database.circuits import GuardedDependency
from imagery.database.tables import utc_now
from imagery.providers.model_watch import LOOK_EVERY_S, ModelWatch
from imagery.services import Services, get_services
from testbed.servers import Server
from testbed.services import forget
from tests.api.test_app import call

# a stand-in's address must look like the service's: what is simulated is not asked
PREFIX = "/googleapis.com"


class Model:
    """The service that describes the model."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = 200
        self.body: dict[str, Any] = {"name": "models/gemini"}
        self.delay_s = 0.0

    async def describe(self, _: Request) -> Response:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        return JSONResponse(self.body, self.status)

    def refuses(self, status: int, name: str, reason: str = "") -> None:
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
        self.status = status
        self.body = {"error": {"code": status, "message": "no", "status": name, "details": details}}


@pytest.fixture
def model(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    made = Model()
    server = Server(Starlette(routes=[Route(f"{PREFIX}/v1beta/models/{{name}}", made.describe)]))
    monkeypatch.setenv("NANO_BANANA_BASE_URL", f"{server.url}{PREFIX}")
    monkeypatch.setenv("NANO_BANANA_API_KEY", "the key")
    forget()
    yield made
    server.stop()


def told() -> tuple[str, str]:
    found = call(create_app(), "GET", "/healthz").json()["dependencies"]["nano_banana"]
    return found["state"], found["reason"]


def test_a_good_key_is_asked_for_once_however_often_health_is(model: Model) -> None:
    for _ in range(10):
        state, reason = told()
        assert (state, "key and model are good" in reason) == ("ok", True)
    assert model.asked == 1


@pytest.mark.parametrize(
    ("status", "name", "reason", "expected"),
    [
        (400, "INVALID_ARGUMENT", "API_KEY_INVALID", "nano_banana_forbidden: the key is dead"),
        (403, "PERMISSION_DENIED", "", "nano_banana_forbidden: the key is dead"),
        (404, "NOT_FOUND", "", "nano_banana_model_not_found: the model is missing or retired"),
        (503, "UNAVAILABLE", "", "did not come (nano_banana_unavailable)"),
    ],
)
def test_why_calls_would_fail_is_said(
    model: Model, status: int, name: str, reason: str, expected: str
) -> None:
    model.refuses(status, name, reason)
    state, words = told()
    assert state == "degraded"
    assert expected in words


@pytest.mark.parametrize(("days", "state"), [(-1, "degraded"), (30, "ok")])
def test_a_models_retirement_is_said_where_the_service_says_it(model: Model, days: int, state: str) -> None:
    day = utc_now() + timedelta(days=days)
    model.body["modelStatus"] = {"modelStage": "LEGACY", "retirementTime": day.isoformat()}
    found, reason = told()
    assert found == state
    assert (f"will retire on {day:%Y-%m-%d}" in reason) == (days > 0)


def test_a_service_that_hangs_does_not_hold_health_up(model: Model) -> None:
    model.delay_s = 8.0
    began = time.monotonic()
    assert told()[0] == "unknown"
    assert time.monotonic() - began < model.delay_s
    until = time.monotonic() + 20
    while told()[0] != "ok" and time.monotonic() < until:
        time.sleep(0.1)
    assert told()[0] == "ok"
    assert model.asked == 1


def test_an_open_circuit_says_why_and_nobody_is_asked(model: Model) -> None:
    circuits = get_services().circuits
    circuits.hold(GuardedDependency.NANO_BANANA, None, "nano_banana_forbidden", 60)
    state, reason = told()
    assert state == "degraded"
    assert "circuit open" in reason
    assert "replace NANO_BANANA_API_KEY" in reason
    assert model.asked == 0


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_asked_again_after_ten_minutes_and_the_old_answer_stands_meanwhile(model: Model) -> None:
    clock = Clock()
    watch = ModelWatch(get_services().nano_banana, clock)
    first = watch.last(10)
    assert first is not None
    clock.now_s += LOOK_EVERY_S - 1
    assert watch.last(10) is first
    model.delay_s, model.status = 1.0, 404
    clock.now_s += 1
    assert watch.last(0) is first
    second = watch.last(10)
    assert second is not None
    assert (second.error, model.asked) == ("nano_banana_model_not_found", 2)
