"""A model of how the durable extension runs an action list, to hold the local host's walker against.

Written after the published C#, method by method and without a look at ``devhost.replay``:
``OutOfProcOrchestrationShim`` and ``DurableOrchestrationContext`` of Azure/azure-functions-durable-extension,
``TaskOrchestrationContext``, ``TaskOrchestrationExecutor`` and ``RetryInterceptor`` of Azure/durabletask.
Coroutines stand for C#'s ``async`` methods: one runs at once up to the first task that has not ended, and
goes on in the moment that task ends. Left out: timers beyond six days, locks, ``call_http``, suspension.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from devhost.history import Event, EventKind

Started = tuple[str, str, datetime | None]
_CREATED = {
    EventKind.TASK_SCHEDULED: "activity",
    EventKind.SUB_CREATED: "sub",
    EventKind.TIMER_CREATED: "timer",
    EventKind.EVENT_SENT: "event",
}
_LONGEST_RETRY = timedelta(days=6)


class TaskError(Exception):
    """What a task raises that failed or was cancelled."""


class NonDeterministicError(Exception):
    """``NonDeterministicOrchestrationException``."""


class Source:
    """A ``TaskCompletionSource`` and its task in one."""

    def __init__(self) -> None:
        self.ended = self.failed = False
        self._then: list[Callable[[], None]] = []

    def end(self, *, failed: bool = False) -> None:
        if self.ended:
            return
        self.ended, self.failed = True, failed
        for each in self._then:
            each()

    def then(self, work: Callable[[], None]) -> None:
        if self.ended:
            work()
        else:
            self._then.append(work)

    def __await__(self) -> Generator[Source]:
        if not self.ended:
            yield self
        if self.failed:
            raise TaskError


def begin(method: Coroutine[Source, None, None]) -> Source:
    """Call an ``async`` method; the task that it returns."""
    task = Source()

    def go_on() -> None:
        try:
            method.send(None).then(go_on)
        except StopIteration:
            task.end()
        except TaskError:
            task.end(failed=True)

    go_on()
    return task


def when_any(tasks: Iterable[Source]) -> Source:
    first = Source()
    for each in list(tasks):
        each.then(first.end)
    return first


def when_all(tasks: Iterable[Source]) -> Source:
    async def wait(all_of_them: list[Source]) -> None:
        failed = False
        for each in all_of_them:
            try:
                await each
            except TaskError:
                failed = True
        if failed:
            raise TaskError

    return begin(wait(list(tasks)))


class Context:
    """``TaskOrchestrationContext``, and the events of ``DurableOrchestrationContext``."""

    def __init__(self, execution_id: str) -> None:
        self.now = datetime.min.replace(tzinfo=UTC)
        self.actions: dict[int, Started] = {}
        self.open: dict[int, Source] = {}
        self.continued = False
        self.carried: list[str] = []
        self._execution_id = execution_id
        self._counter = 0
        self._pending: dict[str, list[Source]] = {}
        self._buffered: dict[str, deque[None]] = {}

    def start(self, kind: str, name: str = "", fire_at: datetime | None = None) -> int:
        number = self._counter
        self._counter += 1
        self.actions[number] = (kind, name, fire_at)
        return number

    async def schedule(self, kind: str, name: str) -> None:
        await self._opened(self.start(kind, name))

    async def timer(self, fire_at: datetime, cancelled: Source | None = None) -> None:
        number = self.start("timer", fire_at=fire_at)
        task = self._opened(number)
        if cancelled is not None:
            cancelled.then(lambda: self._cancel(number))
        await task

    async def retry(self, options: dict[str, Any], kind: str, name: str) -> None:
        """``RetryInterceptor.Invoke``."""
        first = self.now
        most = int(options["maxNumberOfAttempts"])
        for count in range(most):
            try:
                await self.schedule(kind, name)
            except TaskError:
                pass
            else:
                return
            if count + 1 == most:
                await self.timer(self.now)
                break
            delay = self._next_delay(options, count, first)
            if delay == timedelta():
                break
            await self.timer(self.now + delay)
        raise TaskError

    def _next_delay(self, options: dict[str, Any], attempt: int, first: datetime) -> timedelta:
        limit = options.get("retryTimeoutInMilliseconds")
        if limit is not None and self.now >= first + timedelta(milliseconds=limit):
            return timedelta()
        interval = (
            options["firstRetryIntervalInMilliseconds"] * options.get("backoffCoefficient", 1) ** attempt
        )
        cap = options.get("maxRetryIntervalInMilliseconds")
        longest = _LONGEST_RETRY if cap is None else timedelta(milliseconds=cap)
        return min(timedelta(milliseconds=interval), longest)

    def wait_for_event(self, name: str) -> Source:
        name, task = name.lower(), Source()
        self._pending.setdefault(name, []).append(task)
        if self._buffered.get(name):
            self._buffered[name].popleft()
            self.raise_event(name)
        return task

    def raise_event(self, name: str) -> None:
        name = name.lower()
        if self._pending.get(name):
            self._pending[name].pop().end()
        else:
            self._buffered.setdefault(name, deque()).append(None)

    def call_entity(self) -> Source:
        # a GUID there, the same at each replay; here the name that the local host gives it
        return self.wait_for_event(f"{self._execution_id}:{self.start('event')}")

    def created(self, event: Event) -> None:
        number, kind = event["EventId"], _CREATED[event["EventType"]]
        asked = self.actions.pop(number, None)
        if asked is None or asked[0] != kind:
            raise NonDeterministicError
        if kind in {"activity", "sub"} and asked[1].lower() != event["Name"].lower():
            raise NonDeterministicError

    def ended(self, number: int, *, failed: bool = False) -> None:
        if number in self.open:
            self.open[number].end(failed=failed)
            self.open.pop(number, None)

    def _opened(self, number: int) -> Source:
        return self.open.setdefault(number, Source())

    def _cancel(self, number: int) -> None:
        self.open[number].end(failed=True)
        self.open.pop(number, None)


class Shim:
    """``OutOfProcOrchestrationShim``: from actions to tasks."""

    def __init__(self, context: Context, actions: list[dict[str, Any]]) -> None:
        self._context = context
        self._actions = actions

    async def replay(self) -> None:
        for action in self._actions:
            task = self._invoke(action)
            try:
                await task
            except TaskError:
                continue

    def _invoke(self, action: dict[str, Any]) -> Source:
        context, kind = self._context, action["actionType"]
        match kind:
            case 0 | 2:
                name = "activity" if kind == 0 else "sub"
                return begin(context.schedule(name, action["functionName"]))
            case 1 | 3:
                name = "activity" if kind == 1 else "sub"
                return begin(context.retry(action["retryOptions"], name, action["functionName"]))
            case 4:
                context.continued = True
            case 5:
                cancelled = Source()
                fire_at = datetime.fromisoformat(action["fireAt"].replace("Z", "+00:00"))
                task = begin(context.timer(fire_at.astimezone(UTC), cancelled))
                if action["isCanceled"]:
                    cancelled.end()
                return task
            case 6:
                return context.wait_for_event(action["externalEventName"])
            case 7:
                return context.call_entity()
            case 9:
                context.start("event")
            case 11:
                return when_any([self._invoke(each) for each in action["compoundActions"]])
            case 12:
                return when_all([self._invoke(each) for each in action["compoundActions"]])
            case _:
                raise AssertionError(f"the model has no action {kind}")
        done = Source()
        done.end()
        return done


class Execution:
    """``TaskOrchestrationExecutor``: one action list over one history."""

    def __init__(self, execution_id: str, history: list[Event], actions: list[dict[str, Any]]) -> None:
        self.context = Context(execution_id)
        self._shim = Shim(self.context, actions)
        self._result: Source | None = None
        self.is_deterministic = True
        try:
            for event in history:
                self._process(event)
        except NonDeterministicError:
            self.is_deterministic = False

    @property
    def scheduled(self) -> dict[int, Started]:
        """What is to be started now, by id."""
        return self.context.actions

    @property
    def is_over(self) -> bool:
        """True when the instance ends if the orchestrator has returned, raised or continued as new."""
        return self._result is not None and self._result.ended and not self.context.open

    def _process(self, event: Event) -> None:
        context, kind = self.context, event["EventType"]
        if kind == EventKind.ORCHESTRATOR_STARTED:
            context.now = datetime.fromisoformat(event["Timestamp"])
        elif kind == EventKind.EXECUTION_STARTED:
            self._result = begin(self._shim.replay())
        elif kind in _CREATED:
            context.created(event)
        elif kind in {EventKind.TASK_COMPLETED, EventKind.SUB_COMPLETED}:
            context.ended(event["TaskScheduledId"])
        elif kind in {EventKind.TASK_FAILED, EventKind.SUB_FAILED}:
            context.ended(event["TaskScheduledId"], failed=True)
        elif kind == EventKind.TIMER_FIRED:
            context.ended(event["TimerId"])
        elif kind == EventKind.EVENT_RAISED:
            if context.continued:
                context.carried.append(event["Name"])
            else:
                context.raise_event(event["Name"])
