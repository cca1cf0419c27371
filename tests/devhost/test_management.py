"""The durable management API, as the SDK's client calls it and as a stranger does."""

from __future__ import annotations

import re
import time
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


# what the extension 3.19 responded on Azurite, to each verb in each state of an instance
REPEATED = "restart?restartWithNewInstanceId=false"
ANSWERS = {
    "Running": {
        "raiseEvent/nobody": 202,
        "suspend": 202,
        "resume": 500,
        "terminate": 202,
        "rewind": 412,
        "restart": 202,
        REPEATED: 409,
        "purge": 412,
    },
    "Suspended": {
        "raiseEvent/nobody": 202,
        "suspend": 500,
        "resume": 202,
        "terminate": 202,
        "rewind": 412,
        "restart": 202,
        REPEATED: 409,
        "purge": 412,
    },
    "Completed": {
        "raiseEvent/nobody": 410,
        "suspend": 410,
        "resume": 410,
        "terminate": 410,
        "rewind": 412,
        "restart": 202,
        REPEATED: 202,
        "purge": 200,
    },
    "Failed": {
        "raiseEvent/nobody": 410,
        "suspend": 410,
        "resume": 410,
        "terminate": 410,
        "rewind": 202,
        "restart": 202,
        REPEATED: 202,
        "purge": 200,
    },
    "Terminated": {
        "raiseEvent/nobody": 410,
        "suspend": 410,
        "resume": 410,
        "terminate": 410,
        "rewind": 412,
        "restart": 202,
        REPEATED: 202,
        "purge": 200,
    },
    "no such instance": {
        "raiseEvent/nobody": 404,
        "suspend": 404,
        "resume": 404,
        "terminate": 404,
        "rewind": 404,
        "restart": 400,
        REPEATED: 400,
        "nothing": 404,
        "purge": 404,
    },
}
_ORCHESTRATORS = {"Completed": ("chain", "1"), "Failed": ("failing", "1")}


def instance_in(host: HostProcess, state: str) -> str:
    """A new instance in ``state``."""
    instance_id = uuid.uuid4().hex
    if state not in ANSWERS or state == "no such instance":
        return instance_id
    name, given = _ORCHESTRATORS.get(state, ("race", "60"))
    assert call(host, "POST", f"/orchestrators/{name}/{instance_id}", json=given).status_code == 202
    wait_for(host, instance_id, {state, "Running"})
    if state in {"Suspended", "Terminated"}:
        call(host, "POST", f"/instances/{instance_id}/{'suspend' if state == 'Suspended' else 'terminate'}")
    wait_for(host, instance_id, {state})
    return instance_id


def wait_for(host: HostProcess, instance_id: str, states: set[str], limit_s: float = 10) -> dict[str, Any]:
    until = time.monotonic() + limit_s
    shown: dict[str, Any] = {}
    while shown.get("runtimeStatus") not in states:
        assert time.monotonic() < until, shown
        shown = call(host, "GET", f"/instances/{instance_id}").json()
    return shown


@pytest.mark.parametrize(
    ("state", "verb"), [(state, verb) for state, answers in ANSWERS.items() for verb in answers]
)
def test_each_verb_in_each_state_is_answered_as_by_the_extension(
    host: HostProcess, state: str, verb: str
) -> None:
    path = f"/instances/{instance_in(host, state)}"
    answer = (
        call(host, "DELETE", path) if verb == "purge" else call(host, "POST", f"{path}/{verb}", json={"x": 1})
    )
    assert answer.status_code == ANSWERS[state][verb], answer.text
    if verb == "purge" and answer.status_code == 200:
        assert answer.json() == {"instancesDeleted": 1}
        assert call(host, "GET", path).status_code == 404


def test_a_start_and_a_status_that_is_not_the_last_say_where_and_when_to_look_again(
    host: HostProcess,
) -> None:
    instance_id = uuid.uuid4().hex
    started = call(host, "POST", f"/orchestrators/race/{instance_id}", json="60")
    assert (started.status_code, started.json()["id"]) == (202, instance_id)
    assert started.headers["location"] == started.json()["statusQueryGetUri"]
    assert started.headers["retry-after"] == "10"
    status = host.client.get(started.headers["location"])
    assert (status.status_code, status.headers["retry-after"]) == (202, "5")
    assert status.headers["location"] == started.headers["location"]
    twice = call(host, "POST", f"/orchestrators/race/{instance_id}", json="60")
    assert twice.status_code == 409
    call(host, "POST", f"/instances/{instance_id}/terminate")
    wait_for(host, instance_id, {"Terminated"})
    assert "retry-after" not in call(host, "GET", f"/instances/{instance_id}").headers


def test_times_are_whole_seconds(host: HostProcess) -> None:
    shown = call(host, "GET", f"/instances/{instance_in(host, 'Completed')}").json()
    for name in ("createdTime", "lastUpdatedTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown[name])


def test_a_failure_is_a_500_for_those_who_ask_for_it(host: HostProcess) -> None:
    path = f"/instances/{instance_in(host, 'Failed')}"
    assert call(host, "GET", path).status_code == 200
    assert call(host, "GET", f"{path}?returnInternalServerErrorOnFailure=true").status_code == 500


def test_the_history_names_what_ended_and_hides_outputs_unless_asked(host: HostProcess) -> None:
    instance_id = host.begin("parent")
    host.wait(instance_id)
    path = f"/instances/{instance_id}"
    assert "historyEvents" not in call(host, "GET", path).json()
    events = call(host, "GET", f"{path}?showHistory=true").json()["historyEvents"]
    assert [(each["EventType"], each.get("FunctionName")) for each in events] == [
        ("ExecutionStarted", "parent"),
        ("SubOrchestrationInstanceCompleted", "chain"),
        ("SubOrchestrationInstanceFailed", "failing"),
        ("ExecutionCompleted", None),
    ]
    assert events[2]["Reason"] == "Orchestrator function 'failing' failed: on purpose"
    assert not any("Result" in each for each in events)
    created = call(host, "GET", path).json()["createdTime"].removesuffix("Z")
    assert all(created <= each["ScheduledTime"] <= each["Timestamp"] for each in events[1:3])
    assert all(created <= each["Timestamp"] for each in events)
    events = call(host, "GET", f"{path}?showHistory=true&showHistoryOutput=true").json()["historyEvents"]
    assert (events[1]["Result"], events[-1]["Result"]) == (4, [4, "child failed"])
    events = call(host, "GET", f"{path}?showHistory=true&showInput=false").json()["historyEvents"]
    assert not any("Input" in each for each in events)


def test_a_raised_event_has_to_be_json(host: HostProcess) -> None:
    path = f"/instances/{instance_in(host, 'Running')}/raiseEvent/nobody"
    plain = {"Content-Type": "text/plain"}
    assert call(host, "POST", path).status_code == 400
    assert call(host, "POST", path, content=b"1", headers=plain).status_code == 400
    assert (
        call(host, "POST", path, content=b"{", headers={"Content-Type": "application/json"}).status_code
        == 400
    )


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


def test_a_list_comes_in_pages(host: HostProcess) -> None:
    prefix = uuid.uuid4().hex
    for number in range(3):
        call(host, "POST", f"/orchestrators/chain/{prefix}-{number}", json="1")
    path, token = f"/instances?instanceIdPrefix={prefix}&top=2", ""
    pages: list[list[str]] = []
    while not pages or token:
        answer = call(host, "GET", path, headers={"x-ms-continuation-token": token})
        pages.append([each["instanceId"] for each in answer.json()])
        token = answer.headers["x-ms-continuation-token"]
    assert pages == [[f"{prefix}-0", f"{prefix}-1"], [f"{prefix}-2"]]
    answer = call(host, "GET", "/instances", headers={"x-ms-continuation-token": "%"})
    assert answer.status_code == 400


def test_a_page_has_100_instances_unless_another_number_is_asked_for(host: HostProcess) -> None:
    prefix = uuid.uuid4().hex
    for number in range(101):
        call(host, "POST", f"/orchestrators/leaves_early/{prefix}-{number}", json='"again"')
    answer = call(host, "GET", f"/instances?instanceIdPrefix={prefix}")
    assert (len(answer.json()), bool(answer.headers["x-ms-continuation-token"])) == (100, True)
    answer = call(host, "GET", f"/instances?instanceIdPrefix={prefix}&top=500")
    assert (len(answer.json()), answer.headers["x-ms-continuation-token"]) == (101, "")


def test_a_purge_without_a_time_deletes_nothing(host: HostProcess) -> None:
    instance_id = instance_in(host, "Completed")
    answer = call(host, "DELETE", "/instances")
    assert (answer.status_code, "createdTimeFrom" in answer.text) == (400, True)
    assert call(host, "DELETE", "/instances?createdTimeFrom=2999-01-01").status_code == 404
    assert call(host, "GET", f"/instances/{instance_id}").status_code == 200


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


def test_an_entity_that_was_called_and_has_no_state_is_null(host: HostProcess) -> None:
    """Also after it deleted itself: so says the extension to entities of the Python SDK."""
    path = f"/entities/counter/{uuid.uuid4().hex}"
    for operation, state in (("get", 0), ("delete", None), ("add", 4), ("delete", None)):
        assert call(host, "POST", f"{path}?op={operation}", json="4").status_code == 202
        until = time.monotonic() + 5
        while (shown := call(host, "GET", path)).status_code == 404 or shown.json() != state:
            assert time.monotonic() < until, shown.text
            time.sleep(0.02)


def test_an_entity_that_the_app_has_not_is_not_signaled(host: HostProcess) -> None:
    assert call(host, "POST", "/entities/nobody/x?op=add", json=1).status_code == 400


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


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_of_another_site_ends_no_instance(host: HostProcess, headers: dict[str, str]) -> None:
    instance_id = instance_in(host, "Running")
    path = f"/instances/{instance_id}/terminate"
    refused = call(host, "POST", path, headers=headers)
    assert (refused.status_code, refused.json()["Message"]) == (
        403,
        "Web pages of other sites are not served.",
    )
    assert wait_for(host, instance_id, {"Running"})["runtimeStatus"] == "Running"
    own = {"Origin": f"http://127.0.0.1:{host.port}", "Sec-Fetch-Site": "same-origin"}
    assert call(host, "POST", path, headers=own).status_code == 202


def test_a_status_can_be_opened_from_a_link_and_read_by_no_other_page(host: HostProcess) -> None:
    path = f"/instances/{instance_in(host, 'Completed')}"
    assert call(host, "GET", path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert call(host, "GET", path, headers={"Origin": "https://evil.example"}).status_code == 403
