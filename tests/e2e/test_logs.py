"""EventSource clients on a real host that is killed: each hears every event once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from sqlmodel import col, select

from imagery.database.engine import Database, make_engine
from imagery.database.tables import JobEvent
from testbed.event_source import EventSource
from testbed.pictures import encoded
from testbed.stack import Stack
from tests.e2e.hosts import host_alone

LOGS = "/api/v1/logs"
CLIENTS = 5


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A host alone: jobs come as far as the GPU service that is not there."""
    with host_alone(request, tmp_path_factory, LONG_POLL="logs_s=3") as running:
        yield running


def written(host: Stack, stage: str | None = None) -> list[int]:
    engine = make_engine(host.database_url)
    query = select(JobEvent.id).order_by(col(JobEvent.id))
    if stage:
        query = query.where(JobEvent.stage == stage)
    with Database(engine).read() as session:
        ids = [int(each or 0) for each in session.exec(query)]
    engine.dispose()
    return ids


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.2)
    assert condition()


def test_a_killed_host_costs_no_client_an_event(host: Stack) -> None:
    url = f"http://127.0.0.1:{host.port}{LOGS}"
    key = {"X-API-Key": host.client.headers["X-API-Key"]}
    filters: list[dict[str, str]] = [{}] * (CLIENTS - 1) + [{"stage": "guardrail"}]
    sources = [EventSource(url, key, each).start() for each in filters]
    try:
        jobs = [host.submit(encoded("PNG", size=(64, 64))) for _ in range(3)]
        wait_for(lambda: all(len(source.events) >= 3 for source in sources))
        host.host.stop(signal.SIGKILL)
        host.host.start()
        host.host.wait_ready()
        jobs += [host.submit(encoded("PNG", size=(64, 64))) for _ in range(3)]
        for job_id in jobs:
            host.client.post(f"/api/v1/jobs/{job_id}/cancel")
        newest = written(host)[-1]
        wait_for(lambda: all(source.position >= newest for source in sources))
    finally:
        for source in sources:
            source.stop()
    for source in sources:
        told = [each for each in source.ids if each <= newest]
        assert told == [each for each in written(host, source.params.get("stage")) if each <= newest]
    assert all(source.failures > 0 for source in sources)


def test_a_wait_ends_in_time_and_as_soon_as_something_happens(host: Stack) -> None:
    for job in host.client.get("/api/v1/jobs").json()["jobs"]:
        host.client.post(f"/api/v1/jobs/{job['job_id']}/cancel")
    time.sleep(1)
    started = time.monotonic()
    answer = host.client.get(LOGS, params={"tail": 0, "q": "nothing is called like this"})
    assert 2.5 < time.monotonic() - started < 20
    assert ": nothing new" in answer.text
    newest = answer.headers["X-Last-Event-ID"]
    host.submit(encoded("PNG", size=(64, 64)))
    heard = host.client.get(LOGS, headers={"Last-Event-ID": newest})
    assert '"event": "job_queued"' in heard.text
