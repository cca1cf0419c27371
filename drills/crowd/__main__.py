"""``make drill NAME=crowd``: one user asks for a lot at once; how long do others wait?

A host as in the cloud (Azurite, PostgreSQL) with 100,000 jobs. While a crowd is there, another user asks for
``GET /api/v1/me`` over and over. The last line is JSON; the drill fails where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drills.bench_metrics import fill
from drills.crowd.requests import Call, Told, at_once, repeat, send
from imagery.contracts import UPLOADS, BlobRef
from imagery.environment import read
from imagery.principal import Role
from imagery.settings import Settings
from imagery.storage import make_storage
from testbed.azurite import start_azurite
from testbed.pictures import encoded
from testbed.postgres import start_postgres
from testbed.stack import Stack

_NEVER = "0 0 0 1 1 *"
_SETTINGS = {
    "ENV": "PROD",
    "HOST_BLOB_POLL_S": "3600",
    "RECONCILE_SCHEDULE": _NEVER,
    "RETENTION_SCHEDULE": _NEVER,
    # jobs wait for a GPU that never comes
    "GPU_RETRY": "attempts=1000",
    "QUOTA": "jobs_per_minute=100000 concurrent_jobs=100000 usd_per_day=100000",
    "LONG_POLL": "status_s=20 logs_s=20",
}
_PAUSE_S = 0.05
# of one call in 20
_P95_LIMIT_MS = 250.0
_LISTS_LIMIT_MS = 100.0
_HEALTH_PER_S = 500.0
_BATCH_LIMITS_S = {"post": 5.0, "cancel": 3.0}
_PHOTO = (4000, 3000)


@dataclass(frozen=True)
class Keys:
    """Keys of the three users: whose crowd it is, whose calls are timed, and an operator."""

    ann: str
    bob: str
    operator: str


@dataclass
class Drill:
    """The running host, and what was measured."""

    stack: Stack
    keys: Keys
    seconds: float
    rows: list[dict[str, Any]]

    async def crowd(
        self, name: str, clients: int, call: Callable[[], Call], limit_ms: float = _P95_LIMIT_MS
    ) -> None:
        """Time the other user's calls while the crowd is there."""
        crowd, other = Told(), Told()
        port = self.stack.port
        async with at_once(clients, lambda: repeat(port, call, crowd)):
            await asyncio.sleep(min(2.0, self.seconds / 4))
            async with at_once(
                1, lambda: repeat(port, lambda: Call("/api/v1/me", self.keys.bob), other, _PAUSE_S)
            ):
                await asyncio.sleep(self.seconds)
        p50, p95 = percentiles(other.times_ms)
        broken = p95 > limit_ms or set(other.statuses) != {200}
        self.tell(
            name,
            broken,
            clients=clients,
            others_p50_ms=p50,
            others_p95_ms=p95,
            others=dict(other.statuses),
            crowd=dict(sorted(crowd.statuses.items())),
        )

    async def timed(self, name: str, call: Call, times: int, limit_ms: float) -> None:
        """Time one caller's own calls."""
        told = Told()
        for _ in range(times):
            started = time.perf_counter()
            status, _ = await send(self.stack.port, call)
            told.times_ms.append((time.perf_counter() - started) * 1000)
            told.statuses[status] += 1
        p50, p95 = percentiles(told.times_ms)
        broken = p95 > limit_ms or set(told.statuses) != {200}
        self.tell(name, broken, p50_ms=p50, p95_ms=p95, statuses=dict(told.statuses))

    async def rate(self, name: str, clients: int, call: Call, least: float) -> None:
        """How many calls a second so many clients get."""
        told = Told()
        async with at_once(clients, lambda: repeat(self.stack.port, lambda: call, told)):
            await asyncio.sleep(self.seconds)
        per_s = len(told.times_ms) / self.seconds
        self.tell(
            name,
            per_s < least or set(told.statuses) != {200},
            per_s=round(per_s),
            statuses=dict(told.statuses),
        )

    def batch(self, items: int) -> None:
        """Take in, show and cancel a large batch."""
        store = make_storage(read(Settings, self.stack.environment))
        photo = encoded("JPEG", size=(96, 96))
        client = self.stack.client_of(self.keys.ann)
        client.timeout = 240
        owner = client.get("/api/v1/me").json()["user_id"]
        refs = [BlobRef(container=UPLOADS, name=f"{owner}/crowd/{number}.jpg") for number in range(items)]
        for ref in refs:
            store.write(ref, photo, "image/jpeg")
        measured: dict[str, Any] = {"items": items}
        started = time.perf_counter()
        made = client.post("/api/v1/batches", json={"items": [{"blob": ref.path} for ref in refs]})
        measured["post_s"] = round(time.perf_counter() - started, 2)
        path = f"/api/v1/batches/{made.json()['batch_id']}"
        started = time.perf_counter()
        ended = client.post(f"{path}/cancel").json()
        measured["cancel_s"] = round(time.perf_counter() - started, 2)
        shown = client.get(path)
        measured["page_bytes"] = len(shown.content)
        again = client.get(path, headers={"If-None-Match": shown.headers["ETag"]})
        measured["again"] = [again.status_code, len(again.content)]
        slow = [name for name, limit_s in _BATCH_LIMITS_S.items() if measured[f"{name}_s"] > limit_s]
        self.tell("batch", bool(slow) or ended["states"] != {"CANCELLED": items}, **measured)

    def tell(self, name: str, broken: bool, **measured: Any) -> None:
        """Keep a row of the table, and print it."""
        self.rows.append({"what": name, **measured, "broken": broken})
        sys.stdout.write(json.dumps(self.rows[-1]) + "\n")
        sys.stdout.flush()


def percentiles(times_ms: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    if len(times_ms) < 2:
        return float("inf"), float("inf")
    return round(statistics.median(times_ms), 1), round(statistics.quantiles(times_ms, n=20)[-1], 1)


async def measure(drill: Drill, jobs: int) -> None:
    """Every row of the table."""
    keys, some_job = drill.keys, f"job-{jobs // 2}"
    photo = _multipart(encoded("JPEG", size=_PHOTO))
    await drill.crowd("nobody", 0, lambda: Call("/api/v1/me", keys.ann))
    waiting = [f"/api/v1/status/{some_job}?wait=20", "/api/v1/logs"]
    turns = iter(range(10**9))
    await drill.crowd("long polls and streams", 300, lambda: Call(waiting[next(turns) % 2], keys.operator))
    await drill.crowd("searches of the log", 20, lambda: Call("/api/v1/logs?q=zzz&after=0", keys.operator))
    await drill.crowd("photos to validate", 20, lambda: _validate(photo, keys.ann))
    await drill.crowd("wrong keys", 20, lambda: Call("/api/v1/me", "igp_nobody_nothing"))
    await drill.crowd("healthz", 16, lambda: Call("/healthz"))
    await drill.rate("healthz a second", 8, Call("/healthz"), _HEALTH_PER_S)
    for query in ("", "?state=FAILED&state=CANCELLED", "?state=COMPLETED&state=REJECTED", "?state=QUEUED"):
        path = f"/api/v1/jobs{query}"
        await drill.timed(path, Call(path, keys.operator), 40, _LISTS_LIMIT_MS)


def _validate(photo: tuple[str, bytes], key: str) -> Call:
    kind, body = photo
    return Call("/api/v1/guardrail/validate", key, "POST", (f"Content-Type: {kind}",), body)


def _multipart(data: bytes) -> tuple[str, bytes]:
    field = b'Content-Disposition: form-data; name="file"; filename="p.jpg"\r\nContent-Type: image/jpeg'
    return "multipart/form-data; boundary=x", b"--x\r\n" + field + b"\r\n\r\n" + data + b"\r\n--x--\r\n"


def main(arguments: list[str]) -> int:
    """Returns 1 where a limit was exceeded."""
    parser = argparse.ArgumentParser(prog="python -m drills crowd", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs in the database (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each crowd (%(default)s)")
    parser.add_argument("--batch", type=int, default=1000, help="items of the batch (%(default)s)")
    parser.add_argument("--only-measure", action="store_true", help="no limit makes it fail")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "azurite").mkdir()
        server, azurite = start_postgres(), start_azurite(folder / "azurite")
        fill(server.url, asked.jobs)
        environment = {
            **_SETTINGS,
            "DATABASE_URL": server.url,
            "AzureWebJobsStorage": azurite.connection_string,
        }
        stack = Stack(folder, environment)
        try:
            stack.start_host()
            users = stack.users()
            made = [users.create(role.value, role)[1] for role in (Role.USER, Role.OPERATOR)]
            drill = Drill(stack, Keys(made[0], users.create("bob", Role.USER)[1], made[1]), asked.seconds, [])
            asyncio.run(measure(drill, asked.jobs))
            drill.batch(asked.batch)
        finally:
            stack.stop()
            azurite.stop()
            server.close()
    broken = [row["what"] for row in drill.rows if row["broken"]]
    sys.stdout.write(json.dumps({"rows": len(drill.rows), "broken": broken}) + "\n")
    return 1 if broken and not asked.only_measure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
