"""Follow jobs until they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.live import Live

from imagery_client.api import Api, Json
from imagery_client.errors import Exit
from imagery_client.job_view import ENDED, end_line, jobs_view, stage_line, style_of
from imagery_client.output import Output
from imagery_client.settings import CliSettings

_SHORT_ID = 12
_QUIET_STATES = {"PENDING"}


class Watch:
    """The jobs that are followed and what was last heard of each, in the order they were named."""

    def __init__(self, api: Api, settings: CliSettings, output: Output, job_ids: list[str]) -> None:
        self._api = api
        self._settings = settings
        self._output = output
        self._ids = list(dict.fromkeys(job_ids))
        self._known: dict[str, Json] = {}
        self._told: set[str] = set()

    async def run(self) -> list[Json]:
        """The jobs as they ended. Raises ``CliError``."""
        if not self._output.is_live:
            await self._follow(self._tell)
            return self._in_order()
        with Live(
            console=self._output.console,
            refresh_per_second=8,
            get_renderable=lambda: jobs_view(self._in_order(), self._output.console.height, self._api.notice),
        ):
            await self._follow(lambda status: None)
        return self._in_order()

    def _in_order(self) -> list[Json]:
        return [self._known[job_id] for job_id in self._ids if job_id in self._known]

    async def _follow(self, tell: Callable[[Json], None]) -> None:
        gate = asyncio.Semaphore(self._settings.parallel)
        open_ids = list(self._ids)
        while open_ids:
            # few jobs are held open by the API until they change; many are asked in turn
            is_few = len(open_ids) <= self._settings.parallel
            await asyncio.gather(
                *(
                    self._look(job_id, gate, tell, held=is_few and job_id in self._known)
                    for job_id in open_ids
                )
            )
            open_ids = [each for each in open_ids if self._known[each]["state"] not in ENDED]
            if open_ids and not is_few:
                await asyncio.sleep(self._settings.poll_s)

    async def _look(
        self, job_id: str, gate: asyncio.Semaphore, tell: Callable[[Json], None], *, held: bool
    ) -> None:
        async with gate:
            wait = self._settings.poll_s if held else 0
            status = await self._api.get(f"/api/v1/status/{job_id}", is_patient=True, wait=wait)
        self._known[job_id] = status
        tell(status)

    def _tell(self, status: Json) -> None:
        """A plain line for each change, or the whole status where scripts listen and the job has ended."""
        name = status["job_id"][:_SHORT_ID]
        has_ended = status["state"] in ENDED
        if self._output.is_json:
            if has_ended:
                self._output.json(status)
            return
        for stage in status["stages"]:
            if stage["state"] not in _QUIET_STATES and self._is_news(name, _change(stage)):
                self._output.say(f"{name}  {stage_line(stage)}")
        if has_ended and self._is_news(name, status["state"]):
            self._output.say(end_line(status), style_of(status["state"]))

    def _is_news(self, name: str, change: str) -> bool:
        key = f"{name}/{change}"
        is_new = key not in self._told
        self._told.add(key)
        return is_new


def exit_code(jobs: list[Json]) -> Exit:
    """0 when every job COMPLETED."""
    return Exit.DONE if all(job["state"] == "COMPLETED" for job in jobs) else Exit.FAILED


def _change(stage: Json) -> str:
    error = stage.get("error") or {}
    tenth = ""
    if stage.get("tiles_total"):
        tenth = str(10 * (stage.get("tiles_done") or 0) // stage["tiles_total"])
    parts = (stage["stage"], stage["state"], stage["attempt"], error.get("code"), tenth)
    return "/".join(str(part) for part in parts)
