"""``make drill NAME=bench-metrics``: a scrape, and what else is asked often, with 100,000 jobs in SQL.

The last line is JSON: the times of ``GET /api/v1/metrics`` through the app, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from api.app import create_app
from imagery.contracts import Stage
from imagery.database.engine import get_database, make_engine
from imagery.database.migrate import downgrade, upgrade
from imagery.principal import Role
from imagery.services import get_services
from testbed.postgres import start_postgres
from testbed.services import forget

_SCRAPES = 50
_OTHERS = 20
_OWNERS = 50
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs}) "
# one in a thousand is open, one in ten was rejected
_STATE = "CASE WHEN i % 1000 = 0 THEN 'RUNNING' WHEN i % 10 = 1 THEN 'REJECTED' ELSE 'COMPLETED' END"
_PAID = "WHERE i % 10 <> 1 AND i % 1000 <> 0"


def fill(url: str, jobs: int) -> None:
    """A fresh database with ``jobs`` jobs, their stages, events, ledger entries and verdicts."""
    engine = make_engine(url)
    upgrade(engine)
    # the migration that makes the counters finds the rows, as it does in a database that has grown
    downgrade(engine, "0003")
    begun = "TIMESTAMP '2026-01-01 00:00:00+00' + i * INTERVAL '1 second'"
    if engine.dialect.name == "sqlite":
        begun = "strftime('%Y-%m-%d %H:%M:%f000', '2026-01-01', '+' || i || ' seconds')"
    with engine.begin() as connection:
        for statement in _statements(begun):
            connection.execute(text(_filled(statement, jobs)))
    upgrade(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def _filled(statement: str, jobs: int) -> str:
    target, _, select = statement.partition(" SELECT ")
    # a colon in the texts would name a parameter
    return f"{target} {_NUMBERS.format(jobs=jobs)} SELECT {select}".replace(":", "\\:")


def _statements(begun: str) -> list[str]:
    job, owner = "'job-' || i", f"'owner-' || (i % {_OWNERS})"
    stages = [
        f"INSERT INTO stage_run (job_id, stage, state, attempt, started_at, finished_at, duration_ms, "
        f"cost_usd, cached) SELECT {job}, '{stage.value}', 'SUCCEEDED', 1, {begun}, {begun}, "
        f"(i * 37 % 90000) + 1.5, 0.0, i % 20 = 0 FROM n {_PAID}"
        for stage in Stage
    ]
    events = [
        f"INSERT INTO job_event (job_id, owner_id, at, level, event, stage, data) SELECT {job}, {owner}, "
        f"{begun}, CASE WHEN i % 500 = 0 THEN 'error' ELSE 'info' END, '{event}', 'rembg', "
        "'{\"attempt\": 1}' FROM n"
        for event in ("job_queued", *["stage_started", "stage_finished"] * 4, "spend_sent", "job_completed")
    ]
    return [
        "INSERT INTO image_job (job_id, owner_id, source_container, source_name, request_hash, options, "
        "state, stage, instance_id, run, restarts, deadline, created_at, updated_at, finished_at) "
        f"SELECT {job}, {owner}, 'uploads', {job}, '', '{{}}', {_STATE}, 'nano_banana', {job}, 1, 0, "
        f"{begun}, {begun}, {begun}, CASE WHEN i % 1000 = 0 THEN NULL ELSE {begun} END FROM n",
        *stages,
        *events,
        "INSERT INTO spend_entry (job_id, owner_id, stage, attempt_group, state, price_micro_usd, calls, "
        "day, result_lost, reserved_at, sent_at, closed_at) "
        f"SELECT {job}, {owner}, 'nano_banana', 1, 'settled', 80000, 1, '2026-01-01', {_no(begun)}, "
        f"{begun}, {begun}, {begun} FROM n {_PAID}",
        "INSERT INTO guardrail_log (job_id, owner_id, verdict, message, checks, size_bytes, duration_ms, "
        f"created_at) SELECT {job}, {owner}, CASE WHEN i % 10 = 1 THEN 'rejected' ELSE 'admitted' END, '', "
        f"'[]', 1000, 5.0, {begun} FROM n",
    ]


def _no(begun: str) -> str:
    return "0" if begun.startswith("strftime") else "FALSE"


async def measure(jobs: int) -> dict[str, list[float]]:
    """Milliseconds of each call, by what is asked."""
    services = get_services()
    _, operator = services.users.create("bench operator", Role.OPERATOR)
    asked = {
        "/api/v1/metrics": _SCRAPES,
        "/api/v1/jobs?limit=50": _OTHERS,
        "/api/v1/jobs?state=FAILED&limit=50": _OTHERS,
        "/api/v1/jobs?state=REJECTED&limit=50": _OTHERS,
        f"/api/v1/logs?wait=0&job_id=job-{jobs // 2}": _OTHERS,
        "/api/v1/logs?wait=0": _OTHERS,
        "/api/v1/logs?wait=0&level=error": _OTHERS,
    }
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(
        transport=transport, base_url="http://bench", headers={"X-API-Key": operator}, timeout=120
    ) as client:
        return {path: [await _timed(client, path) for _ in range(times)] for path, times in asked.items()}


async def _timed(client: httpx.AsyncClient, path: str) -> float:
    started = time.perf_counter()
    answer = await client.get(path)
    elapsed_ms = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    return elapsed_ms


def percentiles(times_ms: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return round(statistics.median(times_ms), 1), round(statistics.quantiles(times_ms, n=20)[-1], 1)


def run(kind: str, url: str, jobs: int, folder: Path) -> dict[str, Any]:
    """Fill and measure one database."""
    os.environ |= {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(folder / "store"),
        "DATABASE_URL": url,
        "LOG_LEVEL": "WARNING",
    }
    started = time.perf_counter()
    fill(url, jobs)
    sys.stdout.write(f"{kind}: {jobs} jobs filled in {time.perf_counter() - started:.0f} s\n")
    forget()
    found = asyncio.run(measure(jobs))
    for path, times_ms in found.items():
        sys.stdout.write("{}: {} p50 {} ms, p95 {} ms\n".format(kind, path, *percentiles(times_ms)))
    sys.stdout.flush()
    get_services().guardrail.close()
    get_database().engine.dispose()
    forget()
    p50, p95 = percentiles(found["/api/v1/metrics"])
    return {f"{kind}_ms_p50": p50, f"{kind}_ms_p95": p95}


def main(arguments: list[str]) -> int:
    """Measure both databases. The last line is JSON."""
    parser = argparse.ArgumentParser(prog="python -m drills bench-metrics", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs in the database (%(default)s)")
    jobs: int = parser.parse_args(arguments).jobs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        told: dict[str, Any] = {"jobs": jobs}
        told |= run("sqlite", f"sqlite:///{folder}/bench.db", jobs, folder)
        server = start_postgres()
        try:
            told |= run("postgresql", server.url, jobs, folder)
        finally:
            server.close()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
