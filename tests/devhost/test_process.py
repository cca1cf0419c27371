"""Start and end of the host's process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import httpx
import pytest

from devhost.app import LoadError, index, load
from devhost.http import function_key
from devhost.settings import HostSettings, SettingsError, resolve, time_span
from devhost.settings import load as load_settings
from tests.devhost.process import HostProcess

MakeHost = Callable[..., HostProcess]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_is_under_way_and_ends_the_host(make_host: MakeHost, number: int) -> None:
    host = make_host()
    host.start()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(host.client.get("/sleep/1000")))
    asking.start()
    time.sleep(0.3)
    started = time.monotonic()
    assert host.stop(number) == 0
    assert time.monotonic() - started < 14
    asking.join(5)
    assert [answer.text for answer in answers] == ["slept"]


def test_orchestrators_and_activities_share_one_pool_as_in_the_worker(make_host: MakeHost) -> None:
    host = make_host(PYTHON_THREADPOOL_THREAD_COUNT="1")
    host.start()
    napping = host.begin("naps")
    until = time.monotonic() + 10
    while not host.noted("nap begins") and time.monotonic() < until:
        time.sleep(0.01)
    assert host.run("chain", 1)["runtimeStatus"] == "Completed"
    assert host.noted("nap ends"), "the only thread was taken until then"
    assert host.wait(napping)["runtimeStatus"] == "Completed"


def test_what_hangs_does_not_hold_the_end_up(make_host: MakeHost) -> None:
    host = make_host()
    host.start()
    host.begin("race", 3600)
    host.begin("many_naps")
    host.begin("waits_for_never")
    hanging = threading.Thread(target=lambda: _ignore_end(host, "/sleep/60000"))
    hanging.start()
    time.sleep(0.3)
    started = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - started < 14
    hanging.join(5)


def _ignore_end(host: HostProcess, path: str) -> None:
    try:
        host.client.get(path)
    except httpx.TransportError:
        return


def test_a_taken_port_is_told_in_one_line(host: HostProcess, make_host: MakeHost) -> None:
    code, lines = make_host().refusal("--port", str(host.port))
    assert code == 2
    assert len(lines) == 1
    assert f"port {host.port} can't be used" in lines[0]


def test_a_free_port_is_chosen_where_0_is_asked_for(make_host: MakeHost) -> None:
    host = make_host()
    host.launch("--port", "0")
    log = host.wait_logged("host is listening on")
    found = re.search(r"host is listening on (http://127\.0\.0\.1:\d+)", log)
    assert found is not None
    assert httpx.get(f"{found[1]}/bytes").content == bytes(range(256))
    assert host.stop() == 0


def test_a_function_can_be_disabled_by_a_setting(make_host: MakeHost) -> None:
    host = make_host(**{"AzureWebJobs.cookies.Disabled": "true", "AzureWebJobs__tick__Disabled": "1"})
    host.start()
    host.wait_noted("slow tick ends")
    assert host.client.get("/cookies").status_code == 404
    assert host.client.get("/bytes").status_code == 200
    assert host.noted("tick") == []


def test_the_help_names_every_option(host: HostProcess) -> None:
    shown = subprocess.run(host.command("--help"), capture_output=True, text=True, check=True).stdout
    for option in ("--host", "--port", "--app-dir", "--state-dir", "--faults"):
        assert option in shown


def test_an_address_that_others_reach_alone_is_refused(make_host: MakeHost) -> None:
    code, lines = make_host().refusal("--host", "192.0.2.1")
    assert (code, "loopback" in lines[-1]) == (2, True)


def test_on_all_addresses_the_durable_client_uses_loopback(make_host: MakeHost) -> None:
    host = make_host()
    host.start("--host", "0.0.0.0")
    assert host.run("chain", 1)["output"] == 4
    assert host.stop() == 0


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("host.json", "{", "not valid JSON"),
        ("host.json", '{"functionTimeout": "soon"}', "functionTimeout"),
        (
            "host.json",
            '{"extensions": {"durableTask": {"maxConcurrentActivityFunctions": 0}}}',
            "maxConcurrentActivityFunctions",
        ),
        ("local.settings.json", '{"Values": {}}', "the app setting SAMPLE_SCHEDULE is missing"),
        ("local.settings.json", '{"Values": {"SAMPLE_SCHEDULE": "often"}}', "'often' is neither"),
        ("function_app.py", "import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("function_app.py", "", "must define one app, not 0"),
        ("function_app.py", "import sys; sys.exit('no reason')", "called sys.exit('no reason') while it was"),
        (
            "function_app.py",
            "import azure.functions as func\napp = func.FunctionApp()\n"
            "@app.route('jobs/{id:min(3)}')\ndef jobs(req): ...\n",
            "jobs/{id:min(3)}: a parameter of this form is not supported",
        ),
        (
            "function_app.py",
            "import azure.functions as func\napp = func.FunctionApp()\n"
            "@app.queue_trigger(arg_name='m', queue_name='q', connection='c')\ndef q(m): ...\n",
            "has no queueTrigger",
        ),
    ],
)
def test_an_app_that_can_not_be_run_is_told_in_one_line(
    make_host: MakeHost, file: str, content: str, reason: str
) -> None:
    host = make_host()
    (host.app / file).write_text(content)
    code, lines = host.refusal()
    assert code == 2
    assert reason in lines[-1]


def test_a_durable_sdk_of_another_generation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.0.1")
    app = df.DFApp()
    app.activity_trigger(input_name="nothing")(lambda nothing: None)
    with pytest.raises(LoadError, match=r"version 1 of azure-functions-durable, and 2\.0\.1 is installed"):
        index(app)


def test_there_must_be_an_app(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"no function_app\.py"):
        load(tmp_path)


def test_the_key_is_made_once_and_never_empty(tmp_path: Path) -> None:
    (tmp_path / "function.key").touch()
    key = function_key(tmp_path)
    assert len(key) > 30
    assert function_key(tmp_path) == key


def test_what_the_host_writes_is_its_owners_alone(make_host: MakeHost) -> None:
    host = make_host()
    before = os.umask(0o022)
    try:
        host.start()
    finally:
        os.umask(before)
    assert host.state.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostSettings:
    host = {
        "functionTimeout": "-1",
        "extensions": {"http": {"routePrefix": "/v1/", "maxConcurrentRequests": -1}},
    }
    (tmp_path / "host.json").write_text(json.dumps(host))
    (tmp_path / "local.settings.json").write_text('\ufeff{"Values": {"ONLY_HERE": 5}}', encoding="utf-8")
    monkeypatch.delenv("ONLY_HERE", raising=False)
    monkeypatch.setenv("HOST_BLOB_POLL_S", "2.5")
    loaded = load_settings(tmp_path, tmp_path, "::", 7071, None)
    assert resolve("a %ONLY_HERE% b") == "a 5 b"
    monkeypatch.delenv("ONLY_HERE")
    return loaded


def test_settings_have_bounds_even_where_host_json_asks_for_none(settings: HostSettings) -> None:
    assert (settings.route_prefix, settings.function_timeout, settings.blob_poll_s) == ("v1", None, 2.5)
    assert settings.max_concurrent_requests == 100
    assert settings.base_url == "http://[::1]:7071"


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="NO_SUCH_SETTING"):
        resolve("%NO_SUCH_SETTING%")


@pytest.mark.parametrize(("text", "seconds"), [("00:10:00", 600), ("1.00:00:01", 86401), ("10", None)])
def test_time_spans(text: str, seconds: int | None) -> None:
    span = time_span(text)
    assert (span.total_seconds() if span else None) == seconds


def test_host_json_is_read_as_leniently_as_by_the_real_host(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(
        """{ // "routePrefix": "no",
        "extensions": { /* a block
        of, } */ "http": {"routePrefix": "a//b/*c*/,}", }, },
        "functionTimeout": "00:01:00",
        }"""
    )
    loaded = load_settings(tmp_path, tmp_path, "::", 7071, None)
    assert (loaded.route_prefix, loaded.function_timeout) == ("a//b/*c*/,}", timedelta(minutes=1))
