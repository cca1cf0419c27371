"""The durable management API, as the SDK's client calls it and as a stranger does."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.devhost.process import MANAGEMENT, HostProcess


def call(host: HostProcess, method: str, path: str, **more: Any) -> httpx.Response:
    answer = host.client.request(method, MANAGEMENT + path, **more)
    # the SDK's client parses every body
    assert not answer.content or answer.headers["content-type"] == "application/json"
    return answer


def test_the_life_of_an_instance(host: HostProcess) -> None:
    instance_id = uuid.uuid4().hex
    assert call(host, "GET", f"/instances/{instance_id}").status_code == 404
    started = call(host, "POST", f"/orchestrators/race/{instance_id}", json="60")
    assert (started.status_code, started.json()["id"]) == (202, instance_id)
    assert call(host, "POST", f"/orchestrators/race/{instance_id}", json="60").status_code == 409
    assert call(host, "GET", f"/instances/{instance_id}").status_code == 202
    assert call(host, "DELETE", f"/instances/{instance_id}").status_code == 412
    assert call(host, "POST", f"/instances/{instance_id}/raiseEvent/go", json={"x": 1}).status_code == 202
    host.wait(instance_id)
    ended = call(host, "GET", f"/instances/{instance_id}")
    assert (ended.status_code, ended.json()["runtimeStatus"]) == (200, "Completed")
    for verb in ("raiseEvent/go", "terminate", "suspend", "resume", "rewind"):
        assert call(host, "POST", f"/instances/{instance_id}/{verb}", json=1).status_code == 410
    assert call(host, "DELETE", f"/instances/{instance_id}").json() == {"instancesDeleted": 1}
    assert call(host, "DELETE", f"/instances/{instance_id}").status_code == 404


@pytest.mark.parametrize(
    "verb", ["raiseEvent/go", "terminate", "suspend", "resume", "rewind", "restart", "nothing"]
)
def test_nothing_can_be_done_to_an_unknown_instance(host: HostProcess, verb: str) -> None:
    assert call(host, "POST", f"/instances/nobody/{verb}", json=1).status_code == 404


def test_only_orchestrators_can_be_started(host: HostProcess) -> None:
    answer = call(host, "POST", "/orchestrators/add_one")
    assert answer.status_code == 400
    assert "doesn't exist" in answer.json()["ExceptionMessage"]


@pytest.mark.parametrize("instance_id", ["@counter@x", "a%23b", "x" * 101, "a%3Fb"])
def test_instance_ids_that_the_cloud_refuses_are_refused(host: HostProcess, instance_id: str) -> None:
    assert call(host, "POST", f"/orchestrators/chain/{instance_id}", json="1").status_code == 400


def test_a_body_that_is_not_json_is_refused(host: HostProcess) -> None:
    assert call(host, "POST", "/orchestrators/chain", content=b"{").status_code == 400


def test_instances_are_found_by_prefix_and_state(host: HostProcess) -> None:
    prefix = uuid.uuid4().hex
    for number in range(3):
        call(host, "POST", f"/orchestrators/chain/{prefix}-{number}", json="1")
        host.wait(f"{prefix}-{number}")
    call(host, "POST", f"/orchestrators/race/{prefix}-running", json="60")
    found = call(host, "GET", f"/instances/?instanceIdPrefix={prefix}&runtimeStatus=completed").json()
    assert sorted(each["instanceId"] for each in found) == [f"{prefix}-{number}" for number in range(3)]
    assert len(call(host, "GET", f"/instances?instanceIdPrefix={prefix}&top=2").json()) == 2
    call(host, "POST", f"/instances/{prefix}-running/terminate")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("query", ["runtimeStatus=nonsense", "createdTimeFrom=yesterday"])
def test_a_filter_that_is_not_understood_matches_nothing(host: HostProcess, method: str, query: str) -> None:
    assert call(host, method, f"/instances/?{query}").status_code == 400


def test_a_purge_by_time_leaves_what_is_running(host: HostProcess) -> None:
    ended, running = uuid.uuid4().hex, uuid.uuid4().hex
    call(host, "POST", f"/orchestrators/chain/{ended}", json="1")
    host.wait(ended)
    created = call(host, "GET", f"/instances/{ended}").json()["createdTime"]
    call(host, "POST", f"/orchestrators/race/{running}", json="60")
    assert call(host, "DELETE", f"/instances/?createdTimeFrom={created}").json()["instancesDeleted"] >= 1
    assert call(host, "GET", f"/instances/{ended}").status_code == 404
    assert call(host, "GET", f"/instances/{running}").status_code == 202
    call(host, "POST", f"/instances/{running}/terminate")


def test_an_ended_instance_can_be_restarted(host: HostProcess) -> None:
    instance_id = host.begin("chain", 5)
    host.wait(instance_id)
    again = call(host, "POST", f"/instances/{instance_id}/restart").json()["id"]
    assert again != instance_id
    assert host.wait(again)["output"] == 8


def test_an_entity_that_nobody_called_is_not_found(host: HostProcess) -> None:
    assert call(host, "GET", f"/entities/counter/{uuid.uuid4().hex}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/instances/x"), ("GET", "/a/b/c/d")]
)
def test_what_the_api_does_not_have_never_reaches_the_app(host: HostProcess, method: str, path: str) -> None:
    assert call(host, method, path).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example"},
        {"X-Forwarded-For": "203.0.113.7"},
    ],
)
def test_only_callers_on_this_machine_are_answered(host: HostProcess, headers: dict[str, str]) -> None:
    assert call(host, "GET", "/instances/x", headers=headers).status_code == 403
