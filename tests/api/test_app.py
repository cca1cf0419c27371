"""What the app does before and after its routes, without a host."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import azure.functions as func
import httpx
import pytest
from fastapi import FastAPI

from api.app import TITLE, create_app
from imagery.principal import Role
from imagery.services import Services, get_services
from imagery.settings import get_settings
from testbed.declared import Declared


@pytest.fixture
def app(services: Services) -> Iterator[FastAPI]:
    app = create_app()

    @app.get("/broken", include_in_schema=False)
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    # the dashboard takes every address that comes after it
    app.router.routes.insert(0, app.router.routes.pop())
    yield app


def key_of() -> str:
    """A key of a new user."""
    return get_services().users.create(uuid.uuid4().hex, Role.USER)[1]


@cache
def declared() -> Declared:
    """What OpenAPI says that the app returns."""
    return Declared(create_app().openapi())


def call(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    given = more.pop("headers", {})
    headers = given if "X-API-Key" in given else {"X-API-Key": key_of(), **given}

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            if app.title == TITLE:
                client.event_hooks["response"].append(declared().check_async)
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(go())


def test_an_unforeseen_error_is_a_problem_without_internals(app: FastAPI) -> None:
    answer = call(app, "GET", "/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert "secret" not in answer.text


def test_the_problem_survives_the_functions_adapter(app: FastAPI) -> None:
    request = func.HttpRequest("GET", "http://test/broken", body=b"")
    answer = asyncio.run(func.AsgiMiddleware(app).handle_async(request, _context()))
    assert answer.status_code == 500
    assert b"internal_error" in answer.get_body()


def _context() -> func.Context:
    from pathlib import Path

    from devhost.invocation import InvocationContext
    from tests.orchestrators.replay import load_app

    return InvocationContext(load_app().of("httpTrigger")["http"], str(Path()))


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/api/v1/jobs", 405)]
)
def test_routing_errors_are_problems(app: FastAPI, method: str, path: str, status: int) -> None:
    answer = call(app, method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_declared_length_over_the_limit_is_refused_unread(app: FastAPI) -> None:
    too_much = get_settings().guardrail.max_upload_bytes + 10**6
    headers = {"Content-Length": str(too_much), "Content-Type": "multipart/form-data; boundary=x"}
    answer = call(app, "POST", "/api/v1/process", headers=headers, content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_in_chunks_is_told_to_come_whole(app: FastAPI) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    headers = {"Content-Type": "application/json"}
    answer = call(app, "POST", "/api/v1/process", headers=headers, content=body())
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    assert "Content-Length" in answer.json()["detail"]


def test_pages_of_other_origins_are_let_in_where_the_settings_name_them(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://dashboard.example")
    named: FastAPI = request.getfixturevalue("app")
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-API-Key"}
    good = call(
        named, "OPTIONS", "/api/v1/jobs", headers={"Origin": "https://dashboard.example", **preflight}
    )
    assert good.headers["access-control-allow-origin"] == "https://dashboard.example"
    bad = call(named, "OPTIONS", "/api/v1/jobs", headers={"Origin": "https://evil.example", **preflight})
    assert "access-control-allow-origin" not in bad.headers


def test_a_response_of_the_api_may_load_nothing(app: FastAPI) -> None:
    assert call(app, "GET", "/api/v1/me").headers["content-security-policy"].startswith("default-src 'none'")
