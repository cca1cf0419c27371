"""Durable functions over the real SDK and backend."""

from __future__ import annotations

import itertools
import json
import statistics
import time
import uuid

import pytest

from tests.devhost.process import HostProcess


def test_a_chain_of_activities_runs_in_order(host: HostProcess) -> None:
    status = host.run("chain", 1)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", 4)
    assert status["customStatus"] == {"value": 4}


def test_five_activities_take_well_under_200_ms(host: HostProcess) -> None:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        host.run("five")
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.2, times


def test_many_activities_run_at_once(host: HostProcess) -> None:
    assert host.run("fan_out")["output"] == 55


def test_never_more_activities_than_host_json_allows_run_at_once(host: HostProcess) -> None:
    before = len(host.noted("nap begins"))
    host.run("many_naps")
    begins = [(line["at"], 1) for line in host.noted("nap begins")[before:]]
    ends = [(line["at"], -1) for line in host.noted("nap ends")[before:]]
    running = list(itertools.accumulate(step for _, step in sorted(begins + ends)))
    assert len(begins) == 10
    assert max(running) == 4


def test_a_retry_waits_by_its_policy(host: HostProcess) -> None:
    key = uuid.uuid4().hex
    status = host.run("retrying", {"key": key, "succeed_at": 4, "attempts": 6, "first_ms": 1200})
    assert status["output"] == "after 4"
    times = [line["at"] for line in host.noted("flaky", key=key)]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert len(waits) == 3
    # first interval 1.2 s, coefficient 2, cap 2.5 s; queues count whole seconds
    for wait, expected in zip(waits, [1, 2, 2], strict=True):
        assert expected - 0.01 <= wait < expected + 0.6, waits


def test_a_retry_gives_up_after_its_last_attempt(host: HostProcess) -> None:
    key = uuid.uuid4().hex
    status = host.run("retrying", {"key": key, "succeed_at": 99, "attempts": 3})
    assert status["output"] == "gave up: True"
    assert len(host.noted("flaky", key=key)) == 3


def test_no_attempt_is_made_after_the_retry_time_out(host: HostProcess) -> None:
    key = uuid.uuid4().hex
    instance_id = host.begin("limited", {"key": key, "succeed_at": 99})
    host.wait_logged(f"the retry time-out of 'flaky' in instance {instance_id} has passed")
    time.sleep(1.2)
    # at 0 s, at 1 s, and at 2 s, which is past 1.6 s: the failure there is the last
    assert len(host.noted("flaky", key=key)) == 3
    status = host.status(instance_id)
    assert status is not None
    assert status["runtimeStatus"] == "Running"
    host.client.post(f"/client/terminate/{instance_id}")


def test_retries_beside_each_other_keep_their_own_count(host: HostProcess) -> None:
    assert host.run("parallel_retries")["output"] == ["after 1", "after 2", "after 3", 42]


def test_a_child_is_retried_as_a_whole(host: HostProcess) -> None:
    assert host.run("retried_child")["output"] == [11, "after 2"]


def test_an_orchestrator_sees_a_failure_in_the_words_of_the_cloud(host: HostProcess) -> None:
    output = host.run("told")["output"]
    assert output.startswith("Activity function 'boom' failed: ValueError: the reason")
    assert "Traceback" in output


def test_a_group_that_fails_ends_the_instance_when_all_of_it_has_ended(host: HostProcess) -> None:
    started = time.monotonic()
    assert host.run("fails_fast")["runtimeStatus"] == "Failed"
    assert time.monotonic() - started >= 0.6


def test_a_timer_fires_and_an_event_beats_it(host: HostProcess) -> None:
    assert host.run("race", 0.5)["output"] == "timer"
    instance_id = host.begin("race", 60)
    time.sleep(0.3)
    host.client.post(f"/client/event/{instance_id}")
    assert "event" in host.wait(instance_id, limit_s=5)["output"]


def test_an_event_that_comes_early_is_kept(host: HostProcess) -> None:
    instance_id = host.begin("race", 60)
    host.client.post(f"/client/event/{instance_id}")
    assert "event" in host.wait(instance_id)["output"]


def test_a_failed_child_is_an_exception_of_its_parent(host: HostProcess) -> None:
    instance_id = host.begin("parent")
    assert host.wait(instance_id)["output"] == [4, "child failed"]
    assert host.wait(f"{instance_id}-child")["output"] == 4


def test_a_failed_orchestration_says_why(host: HostProcess) -> None:
    status = host.run("failing")
    assert status["runtimeStatus"] == "Failed"
    assert status["output"] == "Orchestrator function 'failing' failed: on purpose"


def test_an_orchestration_continues_as_new(host: HostProcess) -> None:
    assert host.run("eternal", 0)["output"] == 3


def test_what_an_earlier_generation_left_behind_does_not_reach_the_next(host: HostProcess) -> None:
    assert host.run("generations", 0)["output"] == "napped"


def test_an_instance_ends_when_the_activity_that_it_left_behind_has_ended(host: HostProcess) -> None:
    started = time.monotonic()
    assert host.run("leaves_early", "return")["output"] == "returned"
    assert time.monotonic() - started >= 0.7


def test_an_event_that_comes_before_the_next_generation_has_begun_is_its_event(host: HostProcess) -> None:
    instance_id = host.begin("leaves_early", "continue")
    time.sleep(0.3)
    host.client.post(f"/client/event/{instance_id}")
    assert json.loads(host.wait(instance_id)["output"]) == {"x": 1}


def test_an_id_that_is_used_again_gets_nothing_of_the_instance_before(host: HostProcess) -> None:
    instance_id = host.begin("race", 0.6)
    host.client.post(f"/client/terminate/{instance_id}")
    host.wait(instance_id)
    host.begin("naps", None, instance_id)
    assert host.wait(instance_id)["output"] == ["napped", "napped"]


def test_code_that_is_not_replaying_runs_once(host: HostProcess) -> None:
    instance_id = host.begin("guarded_log")
    host.wait(instance_id)
    assert [line["step"] for line in host.noted("step", id=instance_id)] == [0, 1, 2]


def test_an_orchestrator_that_is_not_deterministic_fails_and_says_so(host: HostProcess) -> None:
    status = host.run("fickle")
    assert status["runtimeStatus"] == "Failed"
    assert "task 0 calls 'add_one'" in status["output"]


@pytest.mark.parametrize("path", ["/accepted", "/nowhere"])
def test_a_response_over_http_is_the_result_whatever_its_status(host: HostProcess, path: str) -> None:
    url = f"http://127.0.0.1:{host.port}{path}"
    answer = host.run("calls_http", {"method": "POST", "url": url})["output"]
    assert answer["statusCode"] == (202 if path == "/accepted" else 404)
    if path == "/accepted":
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        assert (headers["retry-after"], answer["content"]) == ("1", '"said"')


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd"])
def test_a_call_over_http_that_gets_no_response_fails(host: HostProcess, url: str) -> None:
    status = host.run("calls_http", {"method": "GET", "url": url})
    assert status["runtimeStatus"] == "Failed"
    assert "BuiltIn::HttpActivity" in status["output"]


def test_a_sub_orchestrator_knows_its_parent(host: HostProcess) -> None:
    assert host.run("names_its_parent")["output"] == [None, True]


@pytest.mark.parametrize("who", ["activity", "async activity", "entity", "orchestrator"])
def test_an_exit_ends_the_instance_and_not_the_host(host: HostProcess, who: str) -> None:
    status = host.run("exits", who)
    assert status["runtimeStatus"] == "Failed"
    assert "sys.exit(3) was called" in status["output"]
    assert host.client.get("/exit").status_code == 500
    assert host.client.get("/bytes").status_code == 200


def test_entities_keep_their_state(host: HostProcess) -> None:
    key = uuid.uuid4().hex
    assert host.run("counting", key)["output"] == 2
    host.client.post(f"/client/signal/{key}")
    until = time.monotonic() + 5
    while host.client.post(f"/client/entity/{key}").json() != [True, 7] and time.monotonic() < until:
        time.sleep(0.05)
    assert host.client.post(f"/client/entity/{key}").json() == [True, 7]


def test_a_failed_operation_of_an_entity_is_an_exception_and_the_entity_lives_on(host: HostProcess) -> None:
    assert host.run("failing_entity")["output"] == ["not this one", 3]


def test_an_activity_that_runs_too_long_fails(host: HostProcess) -> None:
    status = host.run("waits_for_never")
    assert status["runtimeStatus"] == "Failed"
    assert "FunctionTimeoutError" in status["output"]


def test_an_id_is_free_again_only_after_its_end(host: HostProcess) -> None:
    instance_id = host.begin("race", 60)
    clash = host.client.post("/start/race", json=60, params={"id": instance_id})
    assert clash.status_code == 409
    host.client.post(f"/client/terminate/{instance_id}")
    status = host.wait(instance_id)
    assert (status["runtimeStatus"], status["output"]) == ("Terminated", "enough")
    assert host.begin("chain", 1, instance_id) == instance_id
    assert host.wait(instance_id)["output"] == 4


@pytest.mark.parametrize("waiting_for", ["event", "activity"])
def test_a_suspended_orchestration_waits_for_its_resume(host: HostProcess, waiting_for: str) -> None:
    name, given = ("race", 60) if waiting_for == "event" else ("naps", None)
    before = len(host.noted("nap begins"))
    instance_id = host.begin(name, given)
    time.sleep(0.2)
    host.client.post(f"/client/suspend/{instance_id}")
    time.sleep(0.2)
    if waiting_for == "event":
        host.client.post(f"/client/event/{instance_id}")
    time.sleep(0.7)
    status = host.status(instance_id)
    assert status is not None
    assert status["runtimeStatus"] == "Suspended"
    assert len(host.noted("nap begins")) - before == (0 if waiting_for == "event" else 1)
    host.client.post(f"/client/resume/{instance_id}")
    assert host.wait(instance_id)["runtimeStatus"] == "Completed"


def test_a_rewound_orchestration_goes_on_where_it_failed(host: HostProcess) -> None:
    before = len(host.noted("add_one"))
    instance_id = host.begin("fragile")
    assert host.wait(instance_id)["runtimeStatus"] == "Failed"
    host.client.post(f"/client/rewind/{instance_id}")
    until = time.monotonic() + 10
    while host.wait(instance_id)["runtimeStatus"] != "Completed" and time.monotonic() < until:
        time.sleep(0.05)
    assert host.wait(instance_id)["output"] == [2, [11, "after 2"]]
    assert len(host.noted("add_one")) - before == 2


def test_a_purged_instance_is_forgotten(host: HostProcess) -> None:
    instance_id = host.begin("chain", 1)
    host.wait(instance_id)
    assert host.client.post(f"/client/purge/{instance_id}").text == "1"
    assert host.status(instance_id) is None


def test_an_unknown_instance_is_no_instance(host: HostProcess) -> None:
    assert host.status("nobody") is None


def test_the_client_finds_instances_by_their_state(host: HostProcess) -> None:
    instance_id = host.begin("failing")
    host.wait(instance_id)
    assert instance_id in host.client.post("/client/query/x").json()
    done = host.begin("chain", 1)
    host.wait(done)
    assert done not in host.client.post("/client/query/x").json()
