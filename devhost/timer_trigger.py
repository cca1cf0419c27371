"""Timer triggers: six-field NCRONTAB or a time span, never two runs of one timer at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.functions import meta
from croniter import CroniterError, croniter

from devhost.app import App, Function
from devhost.invocation import Invoker
from devhost.settings import SettingsError, resolve, time_span

_log = logging.getLogger(__name__)
_DRAIN_S = 1.0
_LONGEST_NAP_S = 60.0
_PAST_DUE_AFTER = timedelta(seconds=5)
_CONVERTERS: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class Schedule:
    """When a timer is due. Raises ``SettingsError`` if the text is neither form."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._every = time_span(self._text)
        if self._every == timedelta() or (self._every is None and not self._is_cron()):
            raise SettingsError(f"'{text}' is neither a six-field NCRONTAB expression nor a time span")

    def after(self, moment: datetime) -> datetime:
        """The next time after ``moment`` (UTC)."""
        if self._every is not None:
            return moment + self._every
        return self._following(moment)

    def _following(self, moment: datetime) -> datetime:
        # NCRONTAB requires day of month and day of week to match; cron requires one of them
        cron = croniter(self._text, moment, second_at_beginning=True, day_or=False)
        following: datetime = cron.get_next(datetime)
        return following

    def _is_cron(self) -> bool:
        if len(self._text.split()) != 6 or not croniter.is_valid(self._text, second_at_beginning=True):
            return False
        try:
            self._following(datetime.now(UTC))
        except CroniterError:
            return False
        return True


class Timers:
    """Runs each timer function in a task of its own."""

    def __init__(self, app: App, invoker: Invoker) -> None:
        self._invoker = invoker
        self._functions = list(app.of("timerTrigger").values())
        self._schedules = [Schedule(resolve(str(each.properties["schedule"]))) for each in self._functions]
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Start the timers; call on the event loop."""
        for function, schedule in zip(self._functions, self._schedules, strict=True):
            self._tasks.append(asyncio.create_task(self._main(function, schedule)))

    async def stop(self) -> None:
        """Start no more runs; one under way gets a moment to end."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_S)
        for task in self._tasks:
            task.cancel()

    async def _main(self, function: Function, schedule: Schedule) -> None:
        if function.properties.get("runOnStartup"):
            await self._run(function, past_due=False)
        due = schedule.after(datetime.now(UTC))
        while not await self._stops_before(due):
            late = datetime.now(UTC) - due > _PAST_DUE_AFTER
            await self._run(function, past_due=late)
            # runs that fell due while the function was running are skipped
            due = schedule.after(max(due, datetime.now(UTC)))

    async def _stops_before(self, due: datetime) -> bool:
        """Wait for ``due``. Returns True if the host stops first."""
        while (wait := (due - datetime.now(UTC)).total_seconds()) > 0 and not self._stopping.is_set():
            # in parts, to notice a changed clock or a machine that slept
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(wait, _LONGEST_NAP_S))
        return self._stopping.is_set()

    async def _run(self, function: Function, *, past_due: bool) -> None:
        info = json.dumps({"IsPastDue": past_due, "ScheduleStatus": {}, "Schedule": {}})
        value = _CONVERTERS.get("timerTrigger").decode(meta.Datum(info, "json"), trigger_metadata=None)
        try:
            await self._invoker.call(function, value)
        except Exception:
            _log.exception("timer function %s raised", function.name)
