"""Instances in flight survive a deployment: today's orchestrators go on from recorded histories.

``histories/1`` and on are our own recordings (``record.py``): times may differ there (waits are spread and
tuned), and a message may have new fields; what is called, in which order and with which values, may not.
``histories/extension`` was recorded by Microsoft's durable extension on Azurite: whole, suspended, terminated
and with a completion that was delivered twice. It holds no inputs of activities, but its times are exact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devhost.durable import run_orchestrator
from devhost.history import EventKind
from devhost.replay import Replay
from drills.functions_host.replays import episodes, without_inputs
from tests.orchestrators.record import HISTORIES, main, record
from tests.orchestrators.replay import load_app

FILES = sorted(HISTORIES.glob("[0-9]*/*.json"))
EXTENSION_FILES = sorted(HISTORIES.glob("extension/*.json"))
# set in the moment of scheduling, from the retry policy of today
_TIMES = {
    "fireAt",
    "firstRetryIntervalInMilliseconds",
    "backoffCoefficient",
    "maxRetryIntervalInMilliseconds",
}
_TRIGGERS = {"orchestrationTrigger": {EventKind.SUB_CREATED}, "activityTrigger": {EventKind.TASK_SCHEDULED}}

# replaying every episode of the longest history takes time that grows with its square
_MOST_EPISODES = 30

recorded = pytest.mark.parametrize(
    "file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}" if isinstance(file, Path) else None
)


def answer(told: dict[str, Any], length: int) -> dict[str, Any]:
    """What the orchestrator of today answers to the first events of a recorded history."""
    function = load_app().of("orchestrationTrigger")[told["orchestrator"]]
    state, error = run_orchestrator(function, told["instance_id"], told["history"][:length])
    assert error is None, error
    return state


def keeps(recorded: Any, now: Any) -> bool:
    """True when ``now`` says all that ``recorded`` says, times aside."""
    if isinstance(recorded, dict):
        names = recorded.keys() - _TIMES
        return isinstance(now, dict) and all(
            name in now and keeps(_parsed(recorded[name]), _parsed(now[name])) for name in names
        )
    if isinstance(recorded, list):
        same_length = isinstance(now, list) and len(recorded) == len(now)
        return same_length and all(keeps(old, new) for old, new in zip(recorded, now, strict=True))
    return bool(recorded == now)


def _parsed(value: Any) -> Any:
    """A message travels as JSON text."""
    if not isinstance(value, str) or not value.startswith(("{", '"')):
        return value
    return _parsed(json.loads(value))


def test_histories_are_recorded() -> None:
    assert len(FILES) >= 20


@recorded
def test_a_recorded_history_leads_to_the_same_actions(file: Path) -> None:
    told = json.loads(file.read_text())
    for episode in told["episodes"]:
        now = answer(told, episode["events"])
        assert keeps(episode["actions"], now["actions"]), (episode, now)
        assert (now["isDone"], now.get("output")) == (episode["is_done"], episode["output"])


@recorded
def test_the_host_goes_on_from_a_recorded_history(file: Path) -> None:
    """Ids of what was scheduled fit, so that nothing is scheduled a second time."""
    told = json.loads(file.read_text())
    for episode, following in zip(told["episodes"], told["episodes"][1:], strict=False):
        history = told["history"][: episode["events"]]
        new = Replay(told["instance_id"], history, answer(told, episode["events"])["actions"][0]).new
        created = {
            event["EventId"]: event.get("Name", "")
            for event in told["history"][episode["events"] : following["events"]]
            if event["EventType"]
            in {EventKind.TASK_SCHEDULED, EventKind.SUB_CREATED, EventKind.TIMER_CREATED}
        }
        assert {each.id: each.name for each in new} == created


@recorded
def test_a_replay_gives_the_same_answer_each_time(file: Path) -> None:
    told = json.loads(file.read_text())
    for episode in told["episodes"]:
        assert answer(told, episode["events"]) == answer(told, episode["events"])


@recorded
def test_what_a_recorded_history_calls_is_still_registered(file: Path) -> None:
    told = json.loads(file.read_text())
    functions = load_app()
    assert told["orchestrator"] in functions.of("orchestrationTrigger")
    for event in told["history"]:
        for trigger, kinds in _TRIGGERS.items():
            if event["EventType"] in kinds:
                assert event["Name"] in functions.of(trigger)


def test_histories_of_the_extension_are_there() -> None:
    assert len(EXTENSION_FILES) == 14
    histories = [json.loads(file.read_text())["history"] for file in EXTENSION_FILES]
    kinds = {event["EventType"] for history in histories for event in history}
    assert {
        EventKind.TIMER_FIRED,
        EventKind.SUB_COMPLETED,
        EventKind.SUSPENDED,
        EventKind.EXECUTION_TERMINATED,
    } <= kinds


@pytest.mark.parametrize("file", EXTENSION_FILES, ids=lambda file: file.stem)
def test_a_history_of_the_extension_is_what_the_orchestrator_asks_for(file: Path) -> None:
    """Same names, ids, instances and moments, in the same turn; at the end the same result."""
    told = json.loads(file.read_text())
    function = load_app().of("orchestrationTrigger")[told["name"]]
    turns = list(episodes(told["history"]))
    assert turns
    for turn in turns[:_MOST_EPISODES] + turns[_MOST_EPISODES:][-1:]:
        state, error = run_orchestrator(function, told["instanceId"], turn.seen)
        assert error is None, error
        new = Replay(told["instanceId"], turn.seen, state["actions"][0]).new
        assert without_inputs(new) == turn.asked
        assert state["isDone"] == (turn.result is not None)
        if turn.result is not None:
            assert keeps(json.loads(turn.result), state["output"])


def test_a_changed_order_of_calls_is_noticed() -> None:
    file = next(file for file in FILES if file.stem == "happy_path")
    actions = json.loads(file.read_text())["episodes"][-1]["actions"]
    changed = json.loads(json.dumps(actions))
    changed[0][0], changed[0][1] = changed[0][1], changed[0][0]
    assert keeps(actions, actions)
    assert not keeps(actions, changed)
    assert not keeps(actions, [actions[0][:-1]])


def test_a_recorded_version_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(tmp_path / "new") >= 20
    with pytest.raises(FileExistsError):
        record(tmp_path / "new")
    assert main([FILES[0].parent.name]) == 2
    assert "recorded already" in capsys.readouterr().err
