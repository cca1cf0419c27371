"""The fault injector: kill and replay at any point."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from devhost.faults import Fault, FaultInjector, FaultsFileError
from tests.devhost.process import HostProcess

MakeHost = Callable[..., HostProcess]


def fault(point: str, at: int, action: str, name: str = "chain") -> dict[str, Any]:
    return {"point": point, "name": name, "at": at, "action": action}


def with_faults(make_host: MakeHost, *faults: dict[str, Any]) -> HostProcess:
    host = make_host()
    file = host.folder / "faults.json"
    file.write_text(json.dumps(faults))
    host.environment["HOST_FAULTS_FILE"] = str(file)
    return host


def exit_code_of_a_chain(host: HostProcess) -> int:
    # the host may be gone before it has answered the start
    with contextlib.suppress(httpx.TransportError):
        host.begin("chain", 1)
    assert host.process is not None
    return host.process.wait(10)


def fired(host: HostProcess) -> dict[str, int]:
    counts: dict[str, int] = json.loads((host.state / "faults-fired.json").read_text())
    return counts


@pytest.mark.parametrize("point", ["before_episode", "after_episode"])
def test_the_episode_at_every_history_event_can_be_replayed(make_host: MakeHost, point: str) -> None:
    # a chain of three activities has 14 events when its last episode begins
    host = with_faults(make_host, *[fault(point, at, "replay") for at in range(1, 15)])
    host.start()
    assert host.run("chain", 1)["output"] == 4
    assert set(fired(host).values()) == {1}
    assert len(fired(host)) == 14
    assert [line["number"] for line in host.noted("add_one")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("point", "numbers"), [("before_activity", [1, 2, 3]), ("after_activity", [1, 2, 2, 3])]
)
def test_an_activity_can_be_delivered_twice(make_host: MakeHost, point: str, numbers: list[int]) -> None:
    host = with_faults(make_host, fault(point, 2, "replay", "add_one"))
    host.start()
    assert host.run("chain", 1)["output"] == 4
    assert [line["number"] for line in host.noted("add_one")] == numbers


def test_the_host_can_be_killed_at_every_episode_and_each_kill_comes_once(make_host: MakeHost) -> None:
    points = [(point, at) for at in (2, 6, 14) for point in ("before_episode", "after_episode")]
    host = with_faults(make_host, *[fault(point, at, "kill") for point, at in points])
    for _ in points:
        host.start()
        assert exit_code_of_a_chain(host) == 137
    host.start()
    assert host.run("chain", 1)["output"] == 4
    assert list(fired(host).values()) == [1] * len(points)
    assert host.stop() == 0


@pytest.mark.parametrize(("point", "calls"), [("before_activity", 1), ("after_activity", 2)])
def test_the_host_can_be_killed_at_an_activity(make_host: MakeHost, point: str, calls: int) -> None:
    host = make_host()
    file = host.folder / "faults.json"
    file.write_text(json.dumps([fault(point, 2, "kill", "add_one")]))
    host.start("--faults", str(file))
    assert exit_code_of_a_chain(host) == 137
    assert len(host.noted("add_one")) == calls
    host.start("--faults", str(file))
    assert host.run("chain", 1)["output"] == 4


def test_a_work_item_can_be_held_until_it_is_released(make_host: MakeHost) -> None:
    host = with_faults(make_host, fault("before_activity", 2, "hold", "add_one"))
    host.start()
    instance = host.begin("chain", 1)
    host.wait_noted("add_one")
    until = time.monotonic() + 10
    while not (host.state / "faults-fired.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert len(fired(host)) == 1
    time.sleep(0.3)
    assert len(host.noted("add_one")) == 1
    (host.state / "faults-released").touch()
    assert host.wait(instance)["output"] == 4


def test_what_is_passed_can_be_recorded(make_host: MakeHost) -> None:
    host = with_faults(make_host, fault("*", 1, "record", "*"))
    host.start()
    assert host.run("chain", 1)["output"] == 4
    lines = (host.state / "faults-passed.jsonl").read_text().splitlines()
    passed = [json.loads(line) for line in lines]
    assert passed[0] == {"point": "before_episode", "name": "chain", "at": 2}
    assert [each["at"] for each in passed if each["point"] == "after_activity"] == [1, 2, 3]


def test_a_fault_fires_as_often_as_it_says_and_a_restart_goes_on_counting(tmp_path: Path) -> None:
    faults = [Fault("before_activity", "a", 2, "replay", times=2)]
    file = tmp_path / "fired.json"
    injector = FaultInjector(faults, file)
    strikes = [injector.strike("before_activity", "a", reached) for reached in (1, 2)]
    strikes += [FaultInjector(faults, file).strike("before_activity", "a", 5) for _ in range(2)]
    assert strikes == [False, True, True, False]


def test_a_fault_strikes_only_its_point_and_its_function(tmp_path: Path) -> None:
    injector = FaultInjector([Fault("before_activity", "a", 1, "replay")], tmp_path / "fired.json")
    assert not injector.strike("after_activity", "a", 1)
    assert not injector.strike("before_activity", "b", 1)
    assert injector.strike("before_activity", "a", 1)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[1]",
        '[{"point": "before_activity"}]',
        '[{"point": "x", "name": "a", "at": 1, "action": "kill"}]',
        '[{"point": "*", "name": "*", "at": 1, "action": "kill"}]',
    ],
)
def test_a_malformed_file_of_faults_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "faults.json"
    file.write_text(content)
    with pytest.raises(FaultsFileError):
        FaultInjector.from_file(file, tmp_path)
