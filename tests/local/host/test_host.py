"""The host with a small app that has one of everything, driven over HTTP."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.postgres import free_port

APP = Path(__file__).parent / "sample_app"
ROOT = Path(__file__).parent.parent.parent.parent


class Host:
    """The host in a process of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.notes = folder / "notes.jsonl"
        self.notes.touch()
        self.environment = {
            **os.environ,
            "NOTES": str(self.notes),
            "FROM_BOTH": "environment",
            "AzureWebJobsStorage": "",
            "LOCAL_STORAGE_PATH": str(folder / "store"),
            "HOST_BLOB_POLL_S": "0.1",
            **environment,
        }
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "host.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "local.host", "--port", str(self.port)]
        command += ["--app-dir", str(APP), "--state-dir", str(self.folder / "state")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self.client.get("/bytes")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def run(self, name: str, given: Any = None, limit_s: float = 20) -> dict[str, Any]:
        """Start an orchestration and wait for its end."""
        return self.wait(self.begin(name, given), limit_s)

    def begin(self, name: str, given: Any = None, instance_id: str | None = None) -> str:
        answer = self.client.post(
            f"/start/{name}", json=given, params={"id": instance_id or uuid.uuid4().hex}
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def status(self, instance_id: str) -> dict[str, Any] | None:
        status: dict[str, Any] | None = self.client.post(f"/client/status/{instance_id}").json()
        return status

    def wait(self, instance_id: str, limit_s: float = 20) -> dict[str, Any]:
        until = time.monotonic() + limit_s
        status = None
        while time.monotonic() < until:
            status = self.status(instance_id)
            if status and status["runtimeStatus"] in {"Completed", "Failed", "Terminated"}:
                return status
            time.sleep(0.02)
        raise AssertionError(f"{status}\n{self.log.read_text()[-3000:]}")

    def noted(self, kind: str, **values: Any) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return [
            line
            for line in lines
            if line["kind"] == kind and all(line.get(name) == value for name, value in values.items())
        ]

    def wait_noted(
        self, kind: str, count: int = 1, limit_s: float = 10, **values: Any
    ) -> list[dict[str, Any]]:
        until = time.monotonic() + limit_s
        while len(self.noted(kind, **values)) < count and time.monotonic() < until:
            time.sleep(0.05)
        found = self.noted(kind, **values)
        assert len(found) >= count, self.log.read_text()[-3000:]
        return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    running = Host(tmp_path_factory.mktemp("host"))
    running.start()
    yield running
    running.stop()


def test_routes_queries_headers_and_bodies_arrive(host: Host) -> None:
    answer = host.client.post("/echo/7/word?a=1", content=b"\x00\xff", headers={"X-Test": "t"})
    shown = answer.json()
    assert shown["method"] == "POST"
    assert shown["params"] == {"id": "7", "word": "word"}
    assert (shown["query"], shown["header"], shown["body"]) == ({"a": "1"}, "t", "00ff")
    assert answer.headers["X-Answer"] == "yes"
    assert host.client.get("/echo/7").json()["params"] == {"id": "7"}


def test_settings_come_from_the_file_and_the_environment_wins(host: Host) -> None:
    assert host.client.get("/echo/1").json()["settings"] == ["file", "environment"]


def test_binary_answers_are_unharmed(host: Host) -> None:
    assert host.client.get("/bytes").content == bytes(range(256))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/echo/word", 404),
        ("DELETE", "/echo/1", 405),
        ("GET", "/guarded", 401),
        ("GET", "/guarded?code=wrong", 401),
        ("GET", "/broken", 500),
    ],
)
def test_errors_of_the_host_are_problems_without_internals(
    host: Host, method: str, path: str, status: int
) -> None:
    answer = host.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_a_function_key_opens_a_guarded_function(host: Host) -> None:
    key = (host.folder / "state/function.key").read_text()
    assert host.client.get("/guarded", headers={"x-functions-key": key}).text == "inside"
    assert host.client.get("/guarded", params={"code": key}).text == "inside"


def test_a_chain_of_activities_runs_quickly(host: Host) -> None:
    started = time.monotonic()
    status = host.run("chain", 1)
    assert (status["runtimeStatus"], status["output"], status["customStatus"]) == (
        "Completed",
        4,
        {"value": 4},
    )
    assert time.monotonic() - started < 5


def test_many_activities_run_at_once(host: Host) -> None:
    assert host.run("fan_out")["output"] == 55


def test_a_retry_waits_by_its_policy(host: Host) -> None:
    key = uuid.uuid4().hex
    status = host.run("retrying", {"key": key, "succeed_at": 5, "attempts": 6})
    assert status["output"] == "after 5"
    times = [line["at"] for line in host.noted("flaky", key=key)]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert len(waits) == 4
    for wait, expected in zip(waits, [0.1, 0.2, 0.4, 0.5], strict=True):
        assert expected - 0.05 <= wait < expected + 1.0, waits


def test_a_retry_gives_up_after_its_last_attempt(host: Host) -> None:
    key = uuid.uuid4().hex
    status = host.run("retrying", {"key": key, "succeed_at": 99, "attempts": 3})
    assert status["output"] == "gave up: True"
    assert len(host.noted("flaky", key=key)) == 3


def test_retries_beside_each_other_keep_their_own_count(host: Host) -> None:
    assert host.run("parallel_retries")["output"] == ["after 1", "after 2", "after 3", 42]


def test_a_timer_fires_and_an_event_beats_it(host: Host) -> None:
    assert host.run("race", 0.5)["output"] == "timer"
    instance_id = host.begin("race", 60)
    time.sleep(0.3)
    host.client.post(f"/client/event/{instance_id}")
    assert "event" in host.wait(instance_id)["output"]


def test_an_event_that_comes_early_is_kept(host: Host) -> None:
    instance_id = host.begin("race", 60)
    host.client.post(f"/client/event/{instance_id}")
    assert "event" in host.wait(instance_id)["output"]


def test_a_failed_child_is_an_exception_of_its_parent(host: Host) -> None:
    instance_id = host.begin("parent")
    assert host.wait(instance_id)["output"] == [4, "child failed"]
    assert host.wait(f"{instance_id}-child")["output"] == 4


def test_a_failed_orchestration_says_why(host: Host) -> None:
    status = host.run("failing")
    assert status["runtimeStatus"] == "Failed"
    assert "on purpose" in status["output"]


def test_an_orchestration_continues_as_new(host: Host) -> None:
    assert host.run("eternal", 0)["output"] == 3


def test_entities_keep_their_state(host: Host) -> None:
    key = uuid.uuid4().hex
    assert host.run("counting", key)["output"] == 2
    host.client.post(f"/client/signal/{key}")
    until = time.monotonic() + 5
    while host.client.post(f"/client/entity/{key}").json() != [True, 7] and time.monotonic() < until:
        time.sleep(0.05)
    assert host.client.post(f"/client/entity/{key}").json() == [True, 7]


def test_an_id_is_free_again_only_after_its_end(host: Host) -> None:
    instance_id = host.begin("race", 60)
    clash = host.client.post("/start/race", json=60, params={"id": instance_id})
    assert clash.status_code == 409
    host.client.post(f"/client/terminate/{instance_id}")
    assert host.wait(instance_id)["runtimeStatus"] == "Terminated"
    assert host.begin("chain", 1, instance_id) == instance_id
    assert host.wait(instance_id)["output"] == 4


def test_an_unknown_instance_is_no_instance(host: Host) -> None:
    assert host.status("nobody") is None


def test_a_suspended_orchestration_waits_for_its_resume(host: Host) -> None:
    instance_id = host.begin("race", 60)
    time.sleep(0.3)
    host.client.post(f"/client/suspend/{instance_id}")
    time.sleep(0.3)
    host.client.post(f"/client/event/{instance_id}")
    time.sleep(0.5)
    status = host.status(instance_id)
    assert status is not None
    assert status["runtimeStatus"] == "Suspended"
    host.client.post(f"/client/resume/{instance_id}")
    assert "event" in host.wait(instance_id)["output"]


def test_a_purged_instance_is_forgotten(host: Host) -> None:
    instance_id = host.begin("chain", 1)
    host.wait(instance_id)
    assert host.client.post(f"/client/purge/{instance_id}").text == "1"
    assert host.status(instance_id) is None


def test_a_timer_ticks(host: Host) -> None:
    ticks = host.wait_noted("tick", 3)
    assert ticks[-1]["past_due"] is False


def put(host: Host, container: str, name: str, data: bytes) -> None:
    path = host.folder / "store" / container / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_each_version_of_a_file_triggers_once(host: Host) -> None:
    put(host, "incoming", "a/photo.jpg", b"1")
    host.wait_noted("client", name="a/photo.jpg", limit_s=2)
    time.sleep(0.5)
    assert len(host.noted("client", name="a/photo.jpg")) == 1
    put(host, "incoming", "a/photo.jpg", b"22")
    host.wait_noted("client", count=2, name="a/photo.jpg", limit_s=2)


def test_a_stream_brings_the_content_of_names_that_fit(host: Host) -> None:
    put(host, "streams", "a.md", b"no")
    put(host, "streams", "b.txt", b"yes")
    found = host.wait_noted("stream")
    assert [(line["name"], line["text"]) for line in found] == [("streams/b.txt", "yes")]


def test_a_poisonous_blob_is_given_up(host: Host) -> None:
    put(host, "incoming", "poison", b"x")
    host.wait_noted("client", count=3, name="poison", limit_s=15)
    time.sleep(5)
    assert len(host.noted("client", name="poison")) == 3


def test_blobs_of_azurite_trigger_once_over_a_restart(azurite: Any, tmp_path: Path) -> None:
    from azure.storage.blob import BlobServiceClient

    running = Host(tmp_path, AzureWebJobsStorage=azurite.connection_string)
    running.start()
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    until = time.monotonic() + 10
    while not service.get_container_client("incoming").exists() and time.monotonic() < until:
        time.sleep(0.05)
    name = f"{uuid.uuid4().hex} ü.jpg"
    service.get_blob_client("incoming", name).upload_blob(b"1")
    running.wait_noted("client", name=name, limit_s=2)
    assert running.stop() == 0
    running.start()
    time.sleep(1)
    assert len(running.noted("client", name=name)) == 1
    assert running.stop() == 0


def test_a_taken_port_is_told_in_one_line(host: Host, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.host", "--port", str(host.port), "--app-dir", str(APP)]
    done = subprocess.run(
        command, env=host.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert f"port {host.port} can't be used" in done.stderr.splitlines()[-1]


def test_the_management_api_knows_orchestrators_only(host: Host) -> None:
    answer = host.client.post("/runtime/webhooks/durabletask/orchestrators/nothing")
    assert answer.status_code == 400
    assert "doesn't exist" in answer.json()["ExceptionMessage"]


def fault_host(tmp_path: Path, *faults: dict[str, Any]) -> Host:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(faults))
    return Host(tmp_path, HOST_FAULTS_FILE=str(file))


@pytest.mark.parametrize("point", ["before_episode", "after_episode"])
@pytest.mark.parametrize("length", [2, 6, 10, 14])
def test_an_episode_can_be_replayed_at_any_history_event(tmp_path: Path, point: str, length: int) -> None:
    running = fault_host(tmp_path, {"point": point, "name": "chain", "at": length, "action": "replay"})
    running.start()
    status = running.run("chain", 1)
    fired = json.loads((tmp_path / "state/faults-fired.json").read_text())
    running.stop()
    assert (status["output"], len(fired)) == (4, 1)
    assert len(running.noted("add_one")) == 3


def test_an_activity_can_be_delivered_twice(tmp_path: Path) -> None:
    running = fault_host(
        tmp_path, {"point": "after_activity", "name": "add_one", "at": 2, "action": "replay"}
    )
    running.start()
    status = running.run("chain", 1)
    running.stop()
    assert status["output"] == 4
    assert [line["number"] for line in running.noted("add_one")] == [1, 2, 2, 3]


@pytest.mark.parametrize("point", ["before_activity", "after_activity"])
def test_the_host_can_be_killed_at_an_activity_once(tmp_path: Path, point: str) -> None:
    running = fault_host(tmp_path, {"point": point, "name": "add_one", "at": 2, "action": "kill"})
    running.start()
    running.begin("chain", 1)
    assert running.process is not None
    assert running.process.wait(10) == 137
    assert len(running.noted("add_one")) == (1 if point == "before_activity" else 2)
    running.start()
    assert running.run("chain", 1)["output"] == 4
    assert running.stop() == 0
