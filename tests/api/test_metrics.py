"""``/api/v1/metrics``: what Prometheus is told, and that nothing can hold the scrape."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from api.app import create_app
from imagery.contracts import BlobRef, GpuHealth, JobState, Stage
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.ports import free_port
from testbed.servers import Server
from testbed.services import forget
from tests.api.test_app import call
from tests.lifecycle.jobs import begin, complete, make_job

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
FAMILIES = {
    "imagery_jobs": "counter",
    "nano_banana_api_calls": "counter",
    "nano_banana_spend_usd": "counter",
    "nano_banana_spend_avoided_usd": "counter",
    "guardrail_validations": "counter",
    "stage_cache_hits": "counter",
    "pictures_signed": "counter",
    "pipeline_latency_seconds": "histogram",
    "imagery_jobs_open": "gauge",
    "imagery_oldest_open_job_age_seconds": "gauge",
    "circuit_breaker_state": "gauge",
    "gpu_vram_usage_gauge": "gauge",
    "gpu_vram_peak_gauge": "gauge",
    "gpu_last_answer_age_seconds": "gauge",
}
# the first name was asked for, the second is like it; promtool would rather not have the type in them
ASKED_FOR = ("gpu_vram_usage_gauge ", "gpu_vram_peak_gauge ")


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app()


def scrape(app: FastAPI, role: Role = Role.OPERATOR, user: str = "", accept: str = "*/*") -> str:
    _, key = get_services().users.create(user or f"{role.value} {time.monotonic_ns()}", role)
    answer = call(app, "GET", "/api/v1/metrics", headers={"X-API-Key": key, "Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.text


def values(text: str) -> dict[tuple[str, ...], float]:
    samples = [sample for family in plain_text(text) for sample in family.samples]
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is told twice"
    return found


def some_of_everything(services: Services) -> None:
    services.gpu_answers.keep(GpuHealth(state="READY", replica="r1", vram_used_gb=1.5))
    job = make_job(services)
    complete(services, job)
    begin(services, make_job(services))
    services.jobs.cancel(make_job(services).job_id)


def test_both_formats_hold_every_family_once_with_help_and_type(services: Services, app: FastAPI) -> None:
    some_of_everything(services)
    for parse, text in ((plain_text, scrape(app)), (open_metrics, scrape(app, accept=OPEN_METRICS))):
        families = list(parse(text))
        told = {family.name: family for family in families}
        assert len(families) == len(told)
        assert {name: family.type for name, family in told.items()} == FAMILIES
        assert all(family.documentation.endswith((".", "it.", "one.")) for family in families)
        seconds = [sample for sample in told["imagery_jobs"].samples if sample.labels["status"] == "QUEUED"]
        assert [(sample.name, sample.value) for sample in seconds] == [("imagery_jobs_total", 3.0)]


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: it is in the package prometheus)")
    return found


def test_promtool_finds_nothing_to_mend(services: Services, app: FastAPI) -> None:
    tool = promtool()
    some_of_everything(services)
    for text in (scrape(app), scrape(app, Role.USER)):
        checked = subprocess.run(
            [tool, "check", "metrics"], check=False, input=text, capture_output=True, text=True, timeout=60
        )
        complaints = checked.stderr.splitlines() + checked.stdout.splitlines()
        assert [line for line in complaints if not line.startswith(ASKED_FOR)] == []


def test_every_label_value_is_there_before_it_is_first_counted(services: Services, app: FastAPI) -> None:
    told = values(scrape(app))
    assert all(told["imagery_jobs_total", state.value] == 0 for state in JobState)
    assert [told["nano_banana_api_calls_total", each] for each in ("settled", "released", "unknown")] == [
        0
    ] * 3
    assert told["guardrail_validations_total", "rejected"] == 0
    assert all(told["pipeline_latency_seconds_bucket", "+Inf", stage.value] == 0 for stage in Stage)


def test_open_jobs_and_the_age_of_the_oldest(services: Services, app: FastAPI) -> None:
    begin(services, make_job(services))
    time.sleep(1.1)
    begin(services, make_job(services))
    make_job(services)
    services.jobs.cancel(make_job(services).job_id)
    told = values(scrape(app))
    states = ("QUEUED", "VALIDATING", "RUNNING")
    assert [told["imagery_jobs_open", state] for state in states] == [1, 2, 0]
    ages = [told["imagery_oldest_open_job_age_seconds", state] for state in states]
    # the one that waits came later by what was slept
    assert ages[1] - ages[0] >= 1.1 and ages[0] > 0 == ages[2]


def test_users_are_told_of_their_own_jobs_only(services: Services, app: FastAPI) -> None:
    user, key = services.users.create("ann", Role.USER)
    make_job(services, owner_id=user.user_id)
    some_of_everything(services)
    text = call(app, "GET", "/api/v1/metrics", headers={"X-API-Key": key}).text
    told = values(text)
    assert (told["imagery_jobs_total", "QUEUED"], told["imagery_jobs_total", "COMPLETED"]) == (1, 0)
    assert told["imagery_jobs_open", "QUEUED"] == 1
    assert "circuit_breaker_state" not in text
    assert "gpu_" not in text


def test_counters_go_on_after_a_restart_and_with_a_second_instance(services: Services, app: FastAPI) -> None:
    complete(services, make_job(services))
    before = values(scrape(app))
    forget()
    other = get_services()
    assert other is not services
    complete(other, make_job(other))
    complete(services, make_job(services))
    told = values(scrape(create_app()))
    other.guardrail.close()
    counters = [name for name in before if not name[0].startswith(("imagery_oldest", "imagery_jobs_open"))]
    assert all(told[name] >= before[name] for name in counters)
    assert told["imagery_jobs_total", "COMPLETED"] == 3
    assert told["pipeline_latency_seconds_count", "rembg"] == 3


def test_a_retry_never_lowers_a_counter(services: Services, app: FastAPI) -> None:
    job = make_job(services)
    begin(services, job)
    services.stages.fail(job.job_id, Stage.GUARDRAIL, "x", "y")
    services.jobs.finish(job.job_id, 1, JobState.FAILED)
    before = values(scrape(app))
    services.jobs.begin_run(job.job_id, instance_id="i", run=2, deadline=job.deadline)
    services.stages.begin(job.job_id, 2, Stage.GUARDRAIL)
    services.stages.succeed(job.job_id, Stage.GUARDRAIL, BlobRef(container="jobs", name="x"))
    told = values(scrape(app))
    assert told["imagery_jobs_total", "FAILED"] == before["imagery_jobs_total", "FAILED"] == 1
    assert told["imagery_jobs_total", "QUEUED"] == 2
    avoided = ("nano_banana_spend_avoided_usd_total", "failed")
    assert told[avoided] == before[avoided] == 0.08


@pytest.mark.slow
def test_a_real_prometheus_takes_both_formats(services: Services, app: FastAPI, tmp_path: Path) -> None:
    """Its scraper is stricter than a parser; it says so in ``up``."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed")
    some_of_everything(services)
    _, key = services.users.create("scraper", Role.OPERATOR)
    server, front = Server(app), free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "imagery",
                "metrics_path": "/api/v1/metrics",
                "authorization": {"credentials": key},
                "static_configs": [{"targets": [server.url.removeprefix("http://")]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    command = [binary, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{front}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        told = _query(front, 'imagery_jobs_total{status="COMPLETED"}')
        assert told == "1"
        assert _query(front, "up") == "1"
    finally:
        process.terminate()
        process.wait(20)
        server.stop()


def _query(port: int, query: str) -> str | None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}).json()
        except (httpx.TransportError, ValueError):
            answer = {}
        result = answer.get("data", {}).get("result", [])
        if result:
            return str(result[0]["value"][1])
        time.sleep(0.5)
    return None
