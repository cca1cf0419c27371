"""``make drill NAME=soak``: the last line is JSON; it exits with 1 if a client lost or repeated an event."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import col, select

from imagery.contracts import Stage
from imagery.database.engine import Database, make_engine
from imagery.database.tables import JobEvent
from testbed.azurite import start_azurite
from testbed.event_source import EventSource
from testbed.pictures import encoded
from testbed.postgres import start_postgres
from testbed.stack import PHOTO, Stack

_LOGS = "/api/v1/logs"
_CATCH_UP_S = 90.0
_QUIET_S = 3.0
# every fifth client listens to one stage only, so that most events pass it by
_FILTERED = 5
_STAGE = Stage.GUARDRAIL.value


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Host, simulator and GPU service over PostgreSQL and Azurite."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "azurite").mkdir()
        postgres, azurite = start_postgres(), start_azurite(folder / "azurite")
        environment = {
            "ENV": "PROD",
            "AzureWebJobsStorage": azurite.connection_string,
            "DATABASE_URL": postgres.url,
            # all jobs after the first take its pictures over, so that the events come and little is computed
            "STAGE_CACHE": "user",
            "QUOTA": "concurrent_jobs=100000",
        }
        stack = Stack(folder, environment)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
            azurite.stop()
            postgres.close()


def listen(stack: Stack, clients: int) -> list[EventSource]:
    """Clients that listen from now on."""
    url = f"http://127.0.0.1:{stack.port}{_LOGS}"
    key = {"X-API-Key": stack.client.headers["X-API-Key"]}
    filters: list[dict[str, str]] = [
        {"stage": _STAGE} if number % _FILTERED == _FILTERED - 1 else {} for number in range(clients)
    ]
    return [EventSource(url, key, params).start() for params in filters]


class Work:
    """Submits a job at a time: mostly the same photo, now and then a small picture."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._photo = PHOTO.read_bytes()
        self.submitted = 0
        self.failed = 0

    def submit(self) -> None:
        """One job; a host that is down costs a failed call and no more."""
        number = self.submitted + self.failed
        is_small = number % 4 == 3
        picture = encoded("PNG", size=(64, 64)) if is_small else self._photo
        try:
            self._stack.submit(picture, prompt="on a table" if number % 10 else f"on table {number}")
        except (httpx.HTTPError, AssertionError):
            self.failed += 1
        else:
            self.submitted += 1


def soak(stack: Stack, *, minutes: float, clients: int, restarts: int, every_s: float) -> dict[str, Any]:
    """Work and kill for ``minutes``, then compare what each client heard with the rows."""
    sources = listen(stack, clients)
    work = Work(stack)
    begun = time.monotonic()
    end = begun + minutes * 60
    kills = [begun + (number + 1) * minutes * 60 / (restarts + 1) for number in range(restarts)]
    restarted = 0
    while time.monotonic() < end:
        if kills and time.monotonic() >= kills[0]:
            kills.pop(0)
            restarted += 1
            stack.host.stop(signal.SIGKILL)
            _tell(f"{time.monotonic() - begun:.0f} s: the host was killed")
            stack.host.start()
            stack.host.wait_ready()
            _tell(f"{time.monotonic() - begun:.0f} s: it is ready again")
        work.submit()
        time.sleep(max(0.0, min(every_s, end - time.monotonic())))
    _tell(f"{work.submitted} jobs submitted, {work.failed} calls failed")
    database = Database(make_engine(stack.database_url))
    newest = _settled(database, sources)
    for source in sources:
        source.leave()
    for source in sources:
        source.stop()
    told = _compare(database, sources, newest)
    database.engine.dispose()
    return {"minutes": minutes, "clients": clients, "host_restarts": restarted, **told}


def _settled(database: Database, sources: list[EventSource]) -> int:
    """Wait until nothing new is written and everybody is there; the greatest id up to then."""
    until = time.monotonic() + _CATCH_UP_S
    newest, since = 0, time.monotonic()
    while time.monotonic() < until:
        found = (_ids(database, {}) or [0])[-1]
        if found != newest:
            newest, since = found, time.monotonic()
        is_quiet = time.monotonic() - since > _QUIET_S
        if is_quiet and all(source.position >= newest for source in sources):
            return newest
        time.sleep(0.5)
    behind = sum(source.position < newest for source in sources)
    _tell(f"after {_CATCH_UP_S:.0f} s jobs still go on or clients are behind ({behind} of {len(sources)})")
    return newest


def _compare(database: Database, sources: list[EventSource], newest: int) -> dict[str, int]:
    lost = doubled = 0
    for source in sources:
        heard = Counter(each for each in source.ids if each <= newest)
        written = {each for each in _ids(database, source.params) if each <= newest}
        lost += len(written - heard.keys())
        doubled += sum(heard.values()) - len(heard)
        if heard.keys() - written:
            raise AssertionError("a client heard of events that are not there")
    return {
        "events": len(_ids(database, {})),
        "lost": lost,
        "doubled": doubled,
        "reconnects": sum(source.connections - 1 for source in sources),
        "failed_connections": sum(source.failures for source in sources),
    }


def _ids(database: Database, params: dict[str, str]) -> list[int]:
    query = select(JobEvent.id).order_by(col(JobEvent.id))
    if "stage" in params:
        query = query.where(JobEvent.stage == params["stage"])
    with database.read() as session:
        return [int(each or 0) for each in session.exec(query)]


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run the soak. Returns 1 if an event was lost or repeated."""
    parser = argparse.ArgumentParser(prog="python -m drills soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (%(default)s)")
    parser.add_argument("--clients", type=int, default=20, help="EventSource clients (%(default)s)")
    parser.add_argument("--restarts", type=int, default=2, help="times that the host is killed (%(default)s)")
    parser.add_argument("--every-s", type=float, default=2.0, help="pause between two jobs (%(default)s)")
    asked = parser.parse_args(arguments)
    with running_stack() as stack:
        told = soak(
            stack,
            minutes=asked.minutes,
            clients=asked.clients,
            restarts=asked.restarts,
            every_s=asked.every_s,
        )
    _tell(json.dumps(told))
    return 1 if told["lost"] or told["doubled"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
