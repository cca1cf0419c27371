"""``/api/v1/logs``: where a stream begins, how it goes on, and what waiting costs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from api.app import create_app
from api.v1 import logs
from imagery.database import event_watch
from imagery.database.events import events_after, newest_event, record
from imagery.database.tables import ImageJob
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.event_source import EventSource
from testbed.servers import Server
from testbed.services import forget
from tests.api.test_app import call
from tests.lifecycle.jobs import make_job

LOGS = "/api/v1/logs"
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture(params=[{}])
def world(
    request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FastAPI]:
    """The app with short waits, and the settings of the test."""
    given = {"wait_s": 2, "look_every_s": 0.1, "tail": 200, **request.param}
    monkeypatch.setenv("LONG_POLL", f"logs_s={given['wait_s']}")
    monkeypatch.setattr(event_watch, "LOOK_EVERY_S", given["look_every_s"])
    for name, value in {"_RECONNECT_MS": 50, "_PAGE": 10, "_TAIL": given["tail"]}.items():
        monkeypatch.setattr(logs, name, value)
    forget()
    yield create_app()
    get_services().guardrail.close()
    forget()


@pytest.fixture
def key(world: FastAPI) -> str:
    """Of an operator."""
    return get_services().users.create("operator", Role.OPERATOR)[1]


def write(job: ImageJob, *names: str, **more: Any) -> None:
    with get_services().database.write() as session:
        for name in names:
            record(session, job, name, **more)


def get(world: FastAPI, key: str, query: str = "", **headers: str) -> httpx.Response:
    answer = call(world, "GET", LOGS + query, headers={"X-API-Key": key, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def stream(answer: httpx.Response) -> EventSource:
    """An EventSource that has taken the answer in."""
    source = EventSource("", {})
    source.feed(answer.text.splitlines())
    return source


def names(source: EventSource) -> list[str]:
    return [each["event"] for each in source.events]


@pytest.mark.parametrize("world", [{"tail": 3}], indirect=True)
def test_a_stream_begins_with_the_latest_events(world: FastAPI, key: str) -> None:
    write(make_job(get_services()), *"abcde")
    assert names(stream(get(world, key))) == ["c", "d", "e"]
    assert names(stream(get(world, key, "?tail=1"))) == ["e"]
    assert names(stream(get(world, key, "?after=0"))) == ["job_queued", *"abcde"]
    assert names(stream(get(world, key, "?after=2&tail=1"))) == ["b", "c", "d", "e"]
    header = get(world, key, "?after=0&tail=1", **{"Last-Event-ID": "4"})
    assert names(stream(header)) == ["d", "e"], "the header wins"


def test_json_lines_begin_with_the_oldest_and_tell_where_to_go_on(world: FastAPI, key: str) -> None:
    write(make_job(get_services()), *(f"e{number}" for number in range(14)))
    seen, after = [], "0"
    for _ in range(2):
        answer = get(world, key, f"?after={after}", **NDJSON)
        seen += [json.loads(line)["event"] for line in answer.text.splitlines()]
        after = answer.headers["X-Last-Event-ID"]
    assert seen == ["job_queued", *(f"e{number}" for number in range(14))]
    assert [json.loads(line)["event"] for line in get(world, key, "?tail=2", **NDJSON).text.splitlines()] == [
        "e12",
        "e13",
    ]
    started = time.monotonic()
    assert get(world, key, f"?after={after}", **NDJSON).text == ""
    assert time.monotonic() - started < 10, "curl does not wait"


def test_a_full_page_is_followed_at_once(world: FastAPI, key: str) -> None:
    write(make_job(get_services()), *(f"e{number}" for number in range(14)))
    first = get(world, key, "?after=0")
    assert first.text.startswith("retry: 0\n\n")
    source = stream(first)
    assert (len(source.events), source.retry_ms) == (10, 0)
    second = get(world, key, "?after=0", **{"Last-Event-ID": source.last_event_id})
    source.feed(second.text.splitlines())
    assert second.text.startswith("retry: 50\n\n")
    assert names(source) == ["job_queued", *(f"e{number}" for number in range(14))]


@pytest.mark.parametrize("world", [{"wait_s": 0.3}], indirect=True)
def test_a_wait_without_events_ends_with_a_comment_and_the_place(world: FastAPI, key: str) -> None:
    make_job(get_services())
    answer = get(world, key, "?tail=0")
    assert answer.text == "retry: 50\n\n: nothing new\nid: 1\n\n"
    write(make_job(get_services()), "a")
    source = stream(answer)
    assert source.events == []
    later = get(world, key, "?tail=0", **{"Last-Event-ID": source.last_event_id})
    assert names(stream(later)) == ["job_queued", "a"], "nothing between two connections is lost"


def test_a_filter_moves_its_reader_on_past_other_events(world: FastAPI, key: str) -> None:
    job = make_job(get_services())
    write(job, *"abc")
    write(job, "bad", level="error", error="out of Memory")
    write(job, "d")
    newest = str(newest_event(get_services().database))
    for query in ("?after=0&level=error", "?after=0&q=OF%20MEM"):
        source = stream(get(world, key, query))
        assert (names(source), source.last_event_id) == (["bad"], newest)
    lines = get(world, key, "?q=of%20mem", **NDJSON)
    assert [json.loads(line)["event"] for line in lines.text.splitlines()] == ["bad"]


@pytest.mark.parametrize("query", ["?q=" + "a" * 101, "?q=%00", "?tail=-1", "?tail=10001", "?after=-1"])
def test_odd_questions_are_refused(world: FastAPI, key: str, query: str) -> None:
    answer = call(world, "GET", LOGS + query, headers={"X-API-Key": key})
    assert answer.status_code == 422


@pytest.mark.parametrize("query", ["?wait=0&q=%25", "?wait=0&q=a_c", "?wait=0&q=%5C", "?wait=0&q=%ff"])
def test_wildcards_in_a_text_are_letters(world: FastAPI, key: str, query: str) -> None:
    write(make_job(get_services()), "abc")
    assert stream(get(world, key, query)).events == []


def test_a_user_hears_of_its_own_jobs_only(world: FastAPI) -> None:
    services = get_services()
    user, key = services.users.create("ann", Role.USER)
    make_job(services)
    mine = make_job(services, owner_id=user.user_id)
    make_job(services)
    found = [stream(get(world, key, query)).events for query in ("", "?after=0", "?tail=9", "?q=queued")]
    assert [[each["job_id"] for each in events] for events in found] == [[mine.job_id]] * 4


def wait_for(condition: Callable[[], bool], limit_s: float = 20) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    assert condition()


def test_an_event_source_hears_each_event_once(world: FastAPI, key: str) -> None:
    server = Server(world)
    sources = [
        # one that comes late would begin with the latest
        EventSource(server.url + LOGS, {"X-API-Key": key}, {"after": "0", **params}).start()
        for params in ({}, {"level": "error"})
    ]
    try:
        job = make_job(get_services())
        for number in range(40):
            write(job, f"e{number}", level="error" if number % 10 == 0 else "info")
            time.sleep(0.02)
        newest = newest_event(get_services().database)
        wait_for(lambda: all(source.position == newest for source in sources))
        assert sources[0].ids == list(range(1, newest + 1))
        assert names(sources[1]) == ["e0", "e10", "e20", "e30"]
    finally:
        for source in sources:
            source.stop()
        server.stop()


@pytest.mark.parametrize("world", [{"look_every_s": 0.2, "wait_s": 6}], indirect=True)
def test_twenty_waiting_clients_cost_one_small_query_an_interval(
    world: FastAPI, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.waiting.SEATS_OF_A_USER", 20)
    job = make_job(get_services())
    statements: list[str] = []

    def note(*args: Any) -> None:
        if args[2].startswith("SELECT"):
            statements.append(args[2])

    event.listen(get_services().database.engine, "before_cursor_execute", note)
    at_rest: list[int] = []

    async def go() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world)
        headers = {"X-API-Key": key}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            waiting = [asyncio.create_task(client.get(f"{LOGS}?tail=0")) for _ in range(20)]
            # each of them asks a little when it comes: wait for that to be over
            for _ in range(8):
                begin = len(statements)
                await asyncio.sleep(0.5)
                at_rest.append(len(statements) - begin)
                if 0 < at_rest[-1] <= 4:
                    break
            await asyncio.to_thread(write, job, "at last")
            return await asyncio.gather(*waiting)

    answers = asyncio.run(go())
    assert 0 < at_rest[-1] <= 4, at_rest
    assert [names(stream(answer)) for answer in answers] == [["at last"]] * 20


def test_a_search_that_takes_long_keeps_nobody_else_waiting(
    world: FastAPI, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(make_job(get_services()), *"abc")
    threads: list[str] = []
    at_once: list[int] = []
    goes_on = threading.Event()
    whole = events_after

    def slow(*arguments: Any, **named: Any) -> Any:
        threads.append(threading.current_thread().name)
        at_once.append(1)
        assert len(at_once) == 1, "one search at a time"
        goes_on.wait(10)
        at_once.pop()
        return whole(*arguments, **named)

    monkeypatch.setattr(logs, "events_after", slow)

    async def go() -> tuple[list[int], float]:
        transport = httpx.ASGITransport(world)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"X-API-Key": key}
            searching = [
                asyncio.create_task(client.get(f"{LOGS}?q=zzz&after=0", headers={**headers, **NDJSON}))
                for _ in range(40)
            ]
            while not threads:
                await asyncio.sleep(0.01)
            others = [(await client.get("/api/v1/me", headers=headers)).status_code for _ in range(5)]
            begun = len(threads)
            goes_on.set()
            return [*others, *[(await each).status_code for each in searching]], begun

    statuses, begun = asyncio.run(asyncio.wait_for(go(), 60))
    assert statuses == [200] * 45
    assert begun == 1
