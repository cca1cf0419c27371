"""Timer triggers: six-field NCRONTAB or a time span, never two runs of one timer at once."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.functions import meta
from croniter import croniter

from local.host.app import App, Function
from local.host.invocation import Invoker
from local.host.settings import SettingsError, resolve

_log = logging.getLogger(__name__)
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})")
_CONVERTERS: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class Schedule:
    """When a timer is due. Raises ``SettingsError`` for text that is neither form."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        span = _SPAN.fullmatch(self._text)
        self._every: timedelta | None = None
        if span:
            days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
            self._every = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if self._every == timedelta() or (self._every is None and not self._is_cron()):
            raise SettingsError(f"'{text}' is neither a six-field NCRONTAB expression nor a time span")

    def after(self, moment: datetime) -> datetime:
        """The next time after ``moment`` (UTC)."""
        if self._every is not None:
            return moment + self._every
        following: datetime = croniter(self._text, moment, second_at_beginning=True).get_next(datetime)
        return following

    def _is_cron(self) -> bool:
        fields = len(self._text.split())
        return fields == 6 and croniter.is_valid(self._text, second_at_beginning=True)


class Timers:
    """Runs each timer function in a task of its own."""

    def __init__(self, app: App, invoker: Invoker) -> None:
        self._invoker = invoker
        self._functions = list(app.of("timerTrigger").values())
        self._schedules = [Schedule(resolve(str(each.properties["schedule"]))) for each in self._functions]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; call on the event loop."""
        for function, schedule in zip(self._functions, self._schedules, strict=True):
            self._tasks.append(asyncio.create_task(self._main(function, schedule)))

    def stop(self) -> None:
        """No more runs."""
        for task in self._tasks:
            task.cancel()

    async def _main(self, function: Function, schedule: Schedule) -> None:
        if function.properties.get("runOnStartup"):
            await self._run(function, past_due=False)
        due = schedule.after(datetime.now(UTC))
        while True:
            await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            await self._run(function, past_due=False)
            # what fell due while the function was running is left out, not made up for
            due = schedule.after(max(due, datetime.now(UTC)))

    async def _run(self, function: Function, *, past_due: bool) -> None:
        info = json.dumps({"IsPastDue": past_due, "ScheduleStatus": {}, "Schedule": {}})
        value = _CONVERTERS.get("timerTrigger").decode(meta.Datum(info, "json"), trigger_metadata=None)
        try:
            await self._invoker.call(function, value)
        except Exception:
            _log.exception("timer function %s raised", function.name)
