"""The bridge over histories: at every prefix the same ids, and nothing is scheduled twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devhost.history import Event, EventKind
from devhost.replay import ActionError, NonDeterminismError, Replay
from devhost.waits import retry_delay

START = datetime(2026, 1, 1, tzinfo=UTC)
RETRY = {"firstRetryIntervalInMilliseconds": 1000, "maxNumberOfAttempts": 3, "backoffCoefficient": 2.0}


class History:
    """Events as they would be recorded, a second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = START
        self.turn()
        self.add(EventKind.EXECUTION_STARTED, Name="o")

    def add(self, kind: EventKind, number: int = -1, **values: Any) -> None:
        stamp = self.now.isoformat()
        self.events.append({"EventType": kind, "EventId": number, "Timestamp": stamp, **values})

    def turn(self) -> None:
        self.now += timedelta(seconds=1)
        self.add(EventKind.ORCHESTRATOR_STARTED)

    def scheduled(self, number: int) -> None:
        self.add(EventKind.TASK_SCHEDULED, number)

    def completed(self, number: int) -> None:
        self.turn()
        self.add(EventKind.TASK_COMPLETED, TaskScheduledId=number)

    def failed(self, number: int) -> None:
        self.turn()
        self.add(EventKind.TASK_FAILED, TaskScheduledId=number)

    def timer(self, number: int) -> None:
        self.add(EventKind.TIMER_CREATED, number)

    def fired(self, number: int) -> None:
        self.turn()
        self.add(EventKind.TIMER_FIRED, TimerId=number)


def call(name: str) -> dict[str, Any]:
    return {"actionType": 0, "functionName": name, "input": "1"}


def retried(name: str) -> dict[str, Any]:
    return {"actionType": 1, "functionName": name, "input": "1", "retryOptions": RETRY}


def ids(replay: Replay) -> list[tuple[int, str, str]]:
    return [(each.id, each.kind, each.name) for each in replay.new]


def test_one_action_waits_for_the_one_before() -> None:
    history = History()
    actions = [call("a"), call("b")]
    assert ids(Replay("i", history.events, actions)) == [(0, "activity", "a")]
    history.scheduled(0)
    assert ids(Replay("i", history.events, actions)) == []
    history.completed(0)
    assert ids(Replay("i", history.events, actions)) == [(1, "activity", "b")]


def test_a_retry_takes_an_id_for_its_timer_and_one_for_its_task() -> None:
    history, actions = History(), [retried("a")]
    history.scheduled(0)
    history.failed(0)
    replay = Replay("i", history.events, actions)
    assert ids(replay) == [(1, "timer", "")]
    assert replay.new[0].fire_at == history.now + timedelta(seconds=1)
    history.timer(1)
    history.fired(1)
    assert ids(Replay("i", history.events, actions)) == [(2, "activity", "a")]
    history.scheduled(2)
    history.failed(2)
    replay = Replay("i", history.events, actions)
    assert replay.new[0].fire_at == history.now + timedelta(seconds=2)


def test_after_the_last_attempt_one_more_timer_fires_at_once() -> None:
    history, actions = History(), [retried("a")]
    number = 0
    for _ in range(2):
        history.scheduled(number)
        history.failed(number)
        history.timer(number + 1)
        history.fired(number + 1)
        number += 2
    history.scheduled(number)
    history.failed(number)
    replay = Replay("i", history.events, actions)
    assert (ids(replay), replay.new[0].fire_at) == ([(5, "timer", "")], history.now)
    assert not replay.finished
    history.timer(5)
    history.fired(5)
    replay = Replay("i", history.events, actions)
    assert (ids(replay), replay.finished) == ([], True)


def test_a_group_is_over_with_all_or_with_one() -> None:
    for kind, after_one in ((12, False), (11, True)):
        history = History()
        actions = [{"actionType": kind, "compoundActions": [call("a"), call("b")]}, call("c")]
        assert ids(Replay("i", history.events, actions)) == [(0, "activity", "a"), (1, "activity", "b")]
        history.scheduled(0)
        history.scheduled(1)
        history.completed(1)
        expected = [(2, "activity", "c")] if after_one else []
        assert ids(Replay("i", history.events, actions)) == expected


def test_every_prefix_of_a_history_asks_for_the_same_again() -> None:
    history = History()
    actions = [
        {"actionType": 12, "compoundActions": [retried("a"), retried("b")]},
        {"actionType": 5, "fireAt": "2026-01-02T00:00:00Z", "isCanceled": False},
        call("c"),
    ]
    asked: dict[int, tuple[int, str, str]] = {}
    script = [
        "0 failed",
        "1 failed",
        "3 fired",
        "2 fired",
        "4 completed",
        "5 completed",
        "6 fired",
        "7 completed",
    ]
    for step in [None, *script]:
        if step is not None:
            first, what = step.split()
            getattr(history, what)(int(first))
        for _ in range(2):
            for each in ids(Replay("i", history.events, actions)):
                assert asked.setdefault(each[0], each) == each
        for number, kind, _ in ids(Replay("i", history.events, actions)):
            if kind == "timer":
                history.timer(number)
            else:
                history.scheduled(number)
    assert sorted(asked) == list(range(8))
    assert Replay("i", history.events, actions).finished


def test_an_event_counts_whenever_it_comes() -> None:
    history = History()
    actions = [call("a"), {"actionType": 6, "externalEventName": "Go", "reason": "x"}]
    history.scheduled(0)
    history.turn()
    history.add(EventKind.EVENT_RAISED, Name="go")
    history.completed(0)
    assert Replay("i", history.events, actions).finished


def test_what_the_host_can_not_do_is_said() -> None:
    with pytest.raises(ActionError, match="type 10"):
        Replay("i", History().events, [{"actionType": 10}])
    request = {"method": "GET", "uri": "http://127.0.0.1", "tokenSource": {"kind": "x", "resource": "y"}}
    with pytest.raises(ActionError, match="token source of call_http"):
        Replay("i", History().events, [{"actionType": 8, "httpRequest": request}])


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 5), (9, 5)])
def test_the_wait_grows_up_to_its_cap(attempt: int, seconds: int) -> None:
    options = RETRY | {"maxRetryIntervalInMilliseconds": 5000}
    assert retry_delay(options, attempt) == timedelta(seconds=seconds)


def test_the_wait_is_capped_at_six_days_where_the_policy_has_no_cap() -> None:
    assert retry_delay(RETRY, 60) == timedelta(days=6)
    assert retry_delay(RETRY, 5000) == timedelta(days=6)


def test_without_a_coefficient_every_wait_is_the_first() -> None:
    options = {"firstRetryIntervalInMilliseconds": 1500, "backoffCoefficient": None}
    assert [retry_delay(options, attempt).total_seconds() for attempt in (1, 2, 3)] == [1.5, 1.5, 1.5]


def test_the_time_out_counts_from_the_first_attempt() -> None:
    options = RETRY | {"retryTimeoutInMilliseconds": 3000}
    assert retry_delay(options, 2, timedelta(seconds=2.9)) == timedelta(seconds=2)
    assert retry_delay(options, 2, timedelta(seconds=3)) == timedelta()


def test_a_retry_that_timed_out_asks_for_no_timer_and_is_told() -> None:
    history = History()
    actions = [retried("a") | {"retryOptions": RETRY | {"retryTimeoutInMilliseconds": 500}}]
    history.scheduled(0)
    history.failed(0)
    replay = Replay("i", history.events, actions)
    assert (ids(replay), replay.timed_out) == ([], {"a"})


def event(name: str) -> dict[str, Any]:
    return {"actionType": 6, "externalEventName": name, "reason": "x"}


def timer(*, cancelled: bool = False) -> dict[str, Any]:
    return {"actionType": 5, "fireAt": "2026-01-02T00:00:00Z", "isCanceled": cancelled}


def either(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"actionType": 11, "compoundActions": list(actions)}


def test_an_event_is_for_the_wait_that_began_last() -> None:
    history = History()
    actions = [either(event("go"), call("a")), event("Go"), call("b")]
    history.scheduled(0)
    history.completed(0)
    history.turn()
    history.add(EventKind.EVENT_RAISED, Name="go")
    assert ids(Replay("i", history.events, actions)) == [(1, "activity", "b")]


def test_an_instance_ends_only_when_what_it_left_behind_has_ended() -> None:
    history = History()
    actions = [either(call("a"), timer(), event("go"))]
    history.scheduled(0)
    history.timer(1)
    history.completed(0)
    assert not Replay("i", history.events, actions).finished
    history.fired(1)
    assert Replay("i", history.events, actions).finished


def test_a_retried_call_that_was_left_behind_goes_on_to_its_last_attempt() -> None:
    history = History()
    actions = [either(retried("a"), call("b"))]
    history.scheduled(0)
    history.scheduled(1)
    history.completed(1)
    history.failed(0)
    replay = Replay("i", history.events, actions)
    assert (ids(replay), replay.finished) == ([(2, "timer", "")], False)


def test_a_cancelled_timer_is_created_and_awaited_by_nobody() -> None:
    actions = [timer(cancelled=True), call("a")]
    replay = Replay("i", History().events, actions)
    assert ids(replay) == [(0, "timer", ""), (1, "activity", "a")]
    history = History()
    history.timer(0)
    history.scheduled(1)
    history.completed(1)
    assert Replay("i", history.events, actions).finished


def test_an_event_after_a_continue_as_new_is_the_next_execution_s() -> None:
    history = History()
    actions = [either(call("a"), call("b")), {"actionType": 4, "input": "1"}]
    history.scheduled(0)
    history.scheduled(1)
    history.completed(0)
    history.turn()
    history.add(EventKind.EVENT_RAISED, Name="go", Input="1")
    replay = Replay("i", history.events, actions)
    assert ([each["Name"] for each in replay.carried], replay.finished) == (["go"], False)


def test_what_the_history_holds_and_nobody_asks_for_is_an_error() -> None:
    history = History()
    history.scheduled(0)
    history.completed(0)
    with pytest.raises(
        NonDeterminismError, match="task 0 is task_scheduled in the history, and is no longer"
    ):
        Replay("i", history.events, [])


def test_what_is_asked_for_later_than_the_history_holds_it_is_an_error() -> None:
    history = History()
    history.scheduled(0)
    history.scheduled(1)
    with pytest.raises(NonDeterminismError, match=r"task 1 .* no longer asked for by then"):
        Replay("i", history.events, [call("a"), call("b")])


def test_names_of_functions_count_without_regard_to_case() -> None:
    history = History()
    history.add(EventKind.TASK_SCHEDULED, 0, Name="a")
    assert ids(Replay("i", history.events, [call("A")])) == []


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (call("b"), "task 0 calls 'a' in the history, and now 'b'"),
        (
            {"actionType": 5, "fireAt": "2026-01-02T00:00:00Z", "isCanceled": False},
            "task 0 is task_scheduled in the history, and now a timer",
        ),
    ],
)
def test_a_replay_that_asks_for_something_else_is_an_error(action: dict[str, Any], message: str) -> None:
    history = History()
    history.add(EventKind.TASK_SCHEDULED, 0, Name="a")
    with pytest.raises(NonDeterminismError, match=message):
        Replay("i", history.events, [action])


def test_children_without_an_id_and_entity_calls_are_named_after_the_execution() -> None:
    actions = [
        {
            "actionType": 12,
            "compoundActions": [
                {"actionType": 2, "functionName": "child", "input": None},
                {"actionType": 7, "instanceId": "@e@k", "operation": "get", "input": None},
            ],
        }
    ]
    history = History()
    replay = Replay("i:0a", history.events, actions)
    assert [(each.kind, each.instance_id) for each in replay.new] == [("sub", "i:0a:0"), ("call", "@e@k")]
    history.add(EventKind.SUB_CREATED, 0, Name="child")
    history.add(EventKind.EVENT_SENT, 1)
    history.turn()
    history.add(EventKind.SUB_COMPLETED, TaskScheduledId=0)
    history.add(EventKind.EVENT_RAISED, Name="i:0a:1")
    assert Replay("i:0a", history.events, actions).finished
