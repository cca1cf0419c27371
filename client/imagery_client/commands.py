"""What each command does."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from imagery_client.api import ApiClient
from imagery_client.download import download, finished_stages
from imagery_client.errors import ClientError, ExitCode
from imagery_client.job_view import cost
from imagery_client.model import CredentialsState, JobPage, JobStatus, LogEvent, LogLevel, Spend, SpendSums
from imagery_client.output import Output, money
from imagery_client.submit import Submission
from imagery_client.verify import lines
from imagery_client.watch import JobWatch, exit_code

_PAGE = 200
_LOG_KEYS = {"id", "timestamp", "level", "event", "job_id", "version", "stage"}
_LEVEL_STYLES: dict[str, str] = {LogLevel.WARNING: "yellow", LogLevel.ERROR: "red", LogLevel.DEBUG: "dim"}


@dataclass
class Commands:
    """One method a command. ``job_ids``: jobs that go on when the command is interrupted."""

    api: ApiClient
    output: Output
    chosen: Namespace
    job_ids: list[str]

    async def submit(self) -> ExitCode:
        """Send photos, watch their jobs, download their pictures."""
        photos = await Submission(self.api, self.output, self.chosen, self.job_ids).run()
        if self.chosen.dry_run:
            return ExitCode.DONE
        names = {each.job_id: each.photo.name for each in photos if each.job_id}
        was_refused = any(each.error for each in photos)
        if not self.chosen.watch and self.chosen.out is None:
            return ExitCode.FAILED if was_refused else ExitCode.DONE
        ended = await JobWatch(self.api, self.output, names).run()
        if self.chosen.out is not None:
            await self._download(ended, None)
        return ExitCode.FAILED if was_refused else exit_code(ended)

    async def watch(self) -> ExitCode:
        """Follow jobs until they end."""
        jobs = [_quoted(each) for each in self.chosen.jobs]
        self.job_ids.extend(jobs)
        return exit_code(await JobWatch(self.api, self.output, dict.fromkeys(jobs, "")).run())

    async def jobs(self) -> ExitCode:
        """List jobs, newest first."""
        rows: list[JobStatus] = []
        cursor: str | None = None
        while len(rows) < self.chosen.limit:
            limit = min(_PAGE, self.chosen.limit - len(rows))
            query = {"state": self.chosen.state, "limit": limit, "cursor": cursor}
            page = await self.api.get("/api/v1/jobs", JobPage, **query)
            rows += page.jobs
            cursor = page.cursor
            if cursor is None:
                break
        if self.output.is_json:
            for row in rows:
                self.output.json(row.to_json())
            return ExitCode.DONE
        headings = ("job", "state", "stage", "progress", "cost", "created", "photo", "reason")
        self.output.table(headings, [_row(job) for job in rows])
        return ExitCode.DONE

    async def logs(self) -> ExitCode:
        """Show events, oldest first."""
        chosen = self.chosen
        query = {
            "job_id": chosen.job and _quoted(chosen.job),
            "level": chosen.level,
            "stage": chosen.stage,
            "after": chosen.after,
            "tail": chosen.tail,
        }
        query = {name: value for name, value in query.items() if value is not None}
        if chosen.follow:
            async for event in self.api.follow_logs(query):
                self._show(event)
        left = chosen.limit
        while left > 0:
            events, after = await self.api.log_page(query)
            shown = events[:left]
            for event in shown:
                self._show(event)
            if after <= query.get("after", 0):
                return ExitCode.DONE
            left -= len(shown)
            last = after if len(shown) == len(events) else shown[-1].id
            query |= {"after": after}
        self.output.note(f"There may be more: --after {last} continues there.")
        return ExitCode.DONE

    async def cancel(self) -> ExitCode:
        """Stop jobs before their next stage."""
        return await self._for_each("cancel")

    async def retry(self) -> ExitCode:
        """Run jobs again."""
        return await self._for_each("retry")

    async def download(self) -> ExitCode:
        """Save the pictures of jobs."""
        jobs = [await self.api.get(f"/api/v1/status/{_quoted(each)}", JobStatus) for each in self.chosen.jobs]
        await self._download(jobs, self.chosen.stage)
        return ExitCode.DONE

    async def verify(self) -> ExitCode:
        """Show what files say of where they come from."""
        worst = ExitCode.DONE
        for file in self.chosen.files:
            found = await self.api.verify(file)
            if found.state is CredentialsState.BROKEN:
                worst = ExitCode.FAILED
            if self.output.is_json:
                self.output.json({"file": str(file)} | found.to_json())
            for line, style in lines(str(file), found):
                self.output.say(line, style)
        return worst

    async def spend(self) -> ExitCode:
        """Show what was paid, what was not, and why."""
        spend = await self.api.get("/api/v1/spend", Spend, days=self.chosen.days)
        if self.output.is_json:
            self.output.json(spend.to_json())
            return ExitCode.DONE
        today = spend.today
        self.output.say(
            f"{today.day}: ${today.committed_usd:.2f} of ${today.budget_usd:.2f} spent or reserved, "
            f"${today.remaining_usd:.2f} left (${spend.price_usd:.2f} a picture)"
        )
        self._sums("day", spend.days)
        self._sums("user", spend.users)
        models = [
            (
                each.model,
                each.size,
                str(each.pictures),
                money(each.settled_usd),
                money(each.unknown_usd),
                money(each.open_usd),
            )
            for each in spend.models
        ]
        self._section(("model", "size", "pictures", "paid", "unknown", "open"), models)
        avoided = [(each.reason, str(each.pictures), money(each.usd)) for each in spend.avoided]
        self._section(("not paid because", "pictures", "USD"), avoided)
        unknown = [(each.job_id, money(each.usd), each.note or "") for each in spend.unknown]
        self._section(("answer lost", "USD", "note"), unknown)
        return ExitCode.DONE

    def _sums(self, what: str, sums: list[SpendSums]) -> None:
        rows = [
            (
                each.name,
                str(each.pictures),
                money(each.settled_usd),
                money(each.unknown_usd),
                money(each.open_usd),
            )
            for each in sums
        ]
        self._section((what, "pictures", "paid", "unknown", "open"), rows)

    def _section(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if rows:
            self.output.say("")
            self.output.table(headings, rows)

    async def _for_each(self, verb: str) -> ExitCode:
        """POST for one job after the other: a job that is refused does not keep the others from it."""
        worst = ExitCode.DONE
        for job_id in self.chosen.jobs:
            try:
                job = await self.api.post(f"/api/v1/jobs/{_quoted(job_id)}/{verb}", JobStatus)
            except ClientError as error:
                if error.code != "job_not_found" and "job_id" not in error.problem:
                    raise
                self.output.complain(error)
                worst = max(worst, error.exit_code)
                continue
            if self.output.is_json:
                self.output.json(job.to_json())
            else:
                self.output.say(f"{job.job_id}  {job.state}")
        return worst

    async def _download(self, jobs: list[JobStatus], stages: list[str] | None) -> None:
        gate = asyncio.Semaphore(self.chosen.parallel)
        folder: Path = self.chosen.out
        for job in jobs:
            files = await download(self.api, job, folder, stages or finished_stages(job), gate)
            if self.output.is_json:
                self.output.json({"job_id": job.job_id, "files": [str(file) for file in files]})
            for file in files:
                self.output.say(str(file))

    def _show(self, event: LogEvent) -> None:
        if self.output.is_json:
            self.output.json(event.to_json())
            return
        at = datetime.fromisoformat(event.timestamp).astimezone(UTC)
        more = "  ".join(
            f"{name}={value}" for name, value in event.to_json().items() if name not in _LOG_KEYS
        )
        line = (
            f"{at:%Y-%m-%d %H:%M:%S}Z {event.level:<7} {event.job_id} {event.stage or '-':<11} {event.event}"
        )
        self.output.say(f"{line}  {more}".rstrip(), _LEVEL_STYLES.get(event.level, ""))


def _quoted(job_id: str) -> str:
    """A job id as part of a path."""
    return quote(job_id, safe="")


def _row(job: JobStatus) -> tuple[str, ...]:
    created = datetime.fromisoformat(job.created_at).astimezone(UTC)
    return (
        job.job_id,
        job.state,
        job.stage or "",
        f"{job.progress:.0%}",
        cost(job),
        f"{created:%Y-%m-%d %H:%M}Z",
        job.filename or job.source,
        str(job.error or ""),
    )
