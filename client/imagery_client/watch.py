"""Follow jobs until they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from rich.console import RenderableType
from rich.live import Live

from imagery_client.api import ApiClient
from imagery_client.errors import ExitCode
from imagery_client.job_view import end_line, jobs_view, stage_line, style_of
from imagery_client.model import JobState, JobStatus, StageStatus
from imagery_client.output import Output

_SHORT_ID = 12
_QUIET_STATES = {"PENDING"}
# jobs whose state is asked for at once, and how long the API may hold one such call until something changes
_PARALLEL = 4
_POLL_S = 2.0


class JobWatch:
    """Follows jobs and remembers the last state of each, in the order they were named.

    ``names``: job ids, each with the name of its photo, or with an empty text.
    """

    def __init__(self, api: ApiClient, output: Output, names: Mapping[str, str]) -> None:
        self._api = api
        self._output = output
        self._names = names
        self._known: dict[str, JobStatus] = {}
        self._reported: set[str] = set()

    async def run(self) -> list[JobStatus]:
        """Returns the jobs as they ended. Raises ``ClientError``."""
        if not self._output.is_live:
            await self._follow(self._report)
            return self._in_order()
        with Live(console=self._output.console, refresh_per_second=8, get_renderable=self._view):
            await self._follow(lambda status: None)
        return self._in_order()

    def _view(self) -> RenderableType:
        return jobs_view(self._in_order(), self._output.console.height, self._api.notice, self._names)

    def _in_order(self) -> list[JobStatus]:
        return [self._known[job_id] for job_id in self._names if job_id in self._known]

    async def _follow(self, report: Callable[[JobStatus], None]) -> None:
        gate = asyncio.Semaphore(_PARALLEL)
        open_ids = list(self._names)
        while open_ids:
            # the API holds a call until the job changes; where there are many jobs, each call must be short
            is_few = len(open_ids) <= _PARALLEL
            wait_s = _POLL_S if is_few else 0
            await asyncio.gather(*(self._look(job_id, gate, report, wait_s) for job_id in open_ids))
            open_ids = [each for each in open_ids if not self._known[each].has_ended]
            if open_ids and not is_few:
                await asyncio.sleep(_POLL_S)

    async def _look(
        self, job_id: str, gate: asyncio.Semaphore, report: Callable[[JobStatus], None], wait_s: float
    ) -> None:
        wait_s = wait_s if job_id in self._known else 0
        async with gate:
            path = f"/api/v1/status/{job_id}"
            status = await self._api.get(path, JobStatus, is_patient=True, wait=wait_s)
        self._known[job_id] = status
        report(status)

    def _report(self, status: JobStatus) -> None:
        """Print a line for each change; where scripts listen, the whole status when the job has ended."""
        if self._output.is_json:
            if status.has_ended:
                self._output.json(status.to_json())
            return
        name = status.job_id[:_SHORT_ID]
        for stage in status.stages:
            if stage.state not in _QUIET_STATES and self._is_new(name, _change(stage)):
                self._output.say(f"{name}  {stage_line(stage)}")
        if status.has_ended and self._is_new(name, status.state):
            self._output.say(end_line(status), style_of(status.state))

    def _is_new(self, name: str, change: str) -> bool:
        key = f"{name}/{change}"
        is_new = key not in self._reported
        self._reported.add(key)
        return is_new


def exit_code(jobs: list[JobStatus]) -> ExitCode:
    """0 when every job COMPLETED."""
    return ExitCode.DONE if all(job.state == JobState.COMPLETED for job in jobs) else ExitCode.FAILED


def _change(stage: StageStatus) -> str:
    """What of a stage is worth a new line: a tenth of the tiles is, each tile is not."""
    tenth = 10 * (stage.tiles_done or 0) // stage.tiles_total if stage.tiles_total else ""
    parts = (stage.stage, stage.state, stage.attempt, stage.error and stage.error.code, tenth)
    return "/".join(str(part) for part in parts)
