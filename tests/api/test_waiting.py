"""Requests that are held: only so many, so that nobody takes the host from the others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from api import health
from api.app import create_app
from api.durable import with_client
from api.waiting import COME_AGAIN_S, SEATS, SEATS_OF_A_USER, WaitingRoom
from imagery.contracts import BlobRef
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.services import forget
from tests.activities.test_place import make_job
from tests.lifecycle.durable import Durable

_MANY = 60


@pytest.fixture
def quick(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services that hold a request for two seconds."""
    monkeypatch.setenv("LONG_POLL", "status_s=2 logs_s=2")
    forget()
    yield get_services()
    get_services().guardrail.close()


@pytest.fixture
def app(quick: Services) -> FastAPI:
    return create_app()


def client_of(app: FastAPI, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"X-API-Key": key})


def test_seats_are_given_back_and_nobody_has_them_all() -> None:
    room = WaitingRoom()
    held = [room.seat("ann") for _ in range(SEATS_OF_A_USER + 1)]
    seats = [each.__enter__() for each in held]
    assert seats == [True] * SEATS_OF_A_USER + [False]
    with room.seat("bob") as seated:
        assert seated
    for each in held:
        each.__exit__(None, None, None)
    with room.seat("ann") as seated:
        assert seated
    users = [room.seat(f"user {number}") for number in range(SEATS + 1)]
    assert [each.__enter__() for each in users] == [True] * SEATS + [False]


@pytest.mark.parametrize("path", ["/api/v1/status/{job_id}?wait=20", "/api/v1/logs?tail=0"])
def test_of_many_waiting_requests_of_a_user_few_are_held(app: FastAPI, quick: Services, path: str) -> None:
    keys = [quick.users.create(name, Role.ADMIN)[1] for name in ("ann", "bob")]
    path = path.format(job_id=make_job(quick))

    async def go() -> tuple[list[httpx.Response], httpx.Response, float]:
        async with client_of(app, keys[0]) as ann, client_of(app, keys[1]) as bob:
            many = [asyncio.create_task(ann.get(path)) for _ in range(_MANY)]
            await asyncio.sleep(0.5)
            begun = time.monotonic()
            others = await bob.get(path)
            waited_s = time.monotonic() - begun
            return list(await asyncio.gather(*many)), others, waited_s

    answers, others, waited_s = asyncio.run(go())
    assert {answer.status_code for answer in answers} == {200}
    sent_away = [answer for answer in answers if "retry-after" in answer.headers]
    assert len(sent_away) == _MANY - SEATS_OF_A_USER
    told = [int(answer.headers["retry-after"]) for answer in sent_away]
    assert set(told) <= set(range(COME_AGAIN_S[0], COME_AGAIN_S[1] + 1))
    assert len(set(told)) > 1, "not all come again at once"
    assert "retry-after" not in others.headers
    assert waited_s > 1, "another user's request is held all the same"
    if "logs" in path:
        told_ms = [int(answer.text.splitlines()[0].removeprefix("retry: ")) for answer in sent_away]
        assert [ms // 1000 for ms in told_ms] == told
        assert len(set(told_ms)) > COME_AGAIN_S[1], "not all of a second at once"


def test_a_storage_that_hangs_keeps_nobody_from_signing_in(
    app: FastAPI, quick: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_LIMIT_S", 0.2)
    monkeypatch.setattr(health, "LOOK_EVERY_S", 0.0)
    key = quick.users.create("ann", Role.ADMIN)[1]
    hangs, calls = threading.Event(), []

    def exists(ref: BlobRef) -> bool:
        calls.append(ref)
        hangs.wait(30)
        return False

    monkeypatch.setattr(quick.storage, "exists", exists)

    async def go() -> tuple[list[httpx.Response], list[httpx.Response]]:
        async with client_of(app, key) as client:
            looks = [asyncio.create_task(client.get("/healthz")) for _ in range(40)]
            me = [await client.get("/api/v1/me") for _ in range(10)]
            again = [await client.get("/healthz") for _ in range(3)]
            return [*await asyncio.gather(*looks), *again], me

    with with_client(Durable().client):
        reports, me = asyncio.run(go())
    hangs.set()
    assert {answer.status_code for answer in me} == {200}
    assert {answer.json()["dependencies"]["storage"]["state"] for answer in reports} == {"down"}
    assert {answer.json()["dependencies"]["database"]["state"] for answer in reports} == {"ok"}
    assert len(calls) == 1, "while one look hangs no other is begun"
