"""What each command does."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from imagery_client.api import Api, Json
from imagery_client.download import download, finished_stages
from imagery_client.errors import CliError, Exit
from imagery_client.output import Output, money
from imagery_client.settings import CliSettings
from imagery_client.submit import Submission
from imagery_client.watch import Watch, exit_code

_PAGE = 200
_LOG_KEYS = ("id", "timestamp", "level", "event", "job_id", "version", "stage")
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "debug": "dim"}


@dataclass
class Session:
    """What a command works with. ``sent``: jobs that go on when it is interrupted."""

    api: Api
    settings: CliSettings
    output: Output
    chosen: Namespace
    sent: list[str]

    async def submit(self) -> Exit:
        """``submit``."""
        photos = await Submission(self.api, self.settings, self.output, self.chosen, self.sent).run()
        jobs = [each.job_id for each in photos if each.job_id]
        was_refused = any(each.error for each in photos)
        if not self.chosen.watch and self.chosen.out is None:
            return Exit.FAILED if was_refused else Exit.DONE
        ended = await Watch(self.api, self.settings, self.output, jobs).run()
        if self.chosen.out is not None:
            await self._download(ended, self.chosen.out, None)
        return Exit.FAILED if was_refused else exit_code(ended)

    async def watch(self) -> Exit:
        """``watch``."""
        jobs = [_id(each) for each in self.chosen.jobs]
        self.sent.extend(jobs)
        return exit_code(await Watch(self.api, self.settings, self.output, jobs).run())

    async def jobs(self) -> Exit:
        """``jobs``."""
        rows: list[Json] = []
        cursor: str | None = None
        while len(rows) < self.chosen.limit:
            limit = min(_PAGE, self.chosen.limit - len(rows))
            page = await self.api.get("/api/v1/jobs", state=self.chosen.state, limit=limit, cursor=cursor)
            rows += page["jobs"]
            cursor = page["cursor"]
            if cursor is None:
                break
        if self.output.is_json:
            for row in rows:
                self.output.json(row)
            return Exit.DONE
        self.output.table(
            ("job", "state", "stage", "progress", "cost", "created", "photo", "reason"),
            [_row(job) for job in rows],
        )
        return Exit.DONE

    async def logs(self) -> Exit:
        """``logs``."""
        chosen = self.chosen
        query = {
            "job_id": chosen.job and _id(chosen.job),
            "level": chosen.level,
            "stage": chosen.stage,
            "after": chosen.after,
            "tail": chosen.tail,
        }
        query = {name: value for name, value in query.items() if value is not None}
        if chosen.follow:
            async for event in self.api.follow(query):
                self._show(event)
        left = chosen.limit
        while left > 0:
            events, after = await self.api.lines(query)
            shown = events[:left]
            for event in shown:
                self._show(event)
            if after <= query.get("after", 0):
                return Exit.DONE
            left -= len(shown)
            last = after if len(shown) == len(events) else shown[-1]["id"]
            query |= {"after": after}
        self.output.note(f"more may follow: --after {last} goes on there")
        return Exit.DONE

    async def cancel(self) -> Exit:
        """``cancel``."""
        return await self._for_each("cancel")

    async def retry(self) -> Exit:
        """``retry``."""
        return await self._for_each("retry")

    async def download(self) -> Exit:
        """``download``."""
        jobs = [await self.api.get(f"/api/v1/status/{_id(each)}") for each in self.chosen.jobs]
        await self._download(jobs, self.chosen.out, self.chosen.stage)
        return Exit.DONE

    async def spend(self) -> Exit:
        """``spend``."""
        told = await self.api.get("/api/v1/spend", days=self.chosen.days)
        if self.output.is_json:
            self.output.json(told)
            return Exit.DONE
        today = told["today"]
        self.output.say(
            f"{today['day']}: ${today['committed_usd']:.2f} of ${today['budget_usd']:.2f} given, "
            f"${today['remaining_usd']:.2f} left (${told['price_usd']:.2f} a picture)"
        )
        self._sums("day", told["days"])
        self._sums("user", told["users"])
        rows = [(each["reason"], str(each["pictures"]), money(each["usd"])) for each in told["avoided"]]
        self._section(("not paid because", "pictures", "USD"), rows)
        unknown = [(each["job_id"], money(each["usd"]), each["note"] or "") for each in told["unknown"]]
        self._section(("answer lost", "USD", "note"), unknown)
        return Exit.DONE

    def _sums(self, what: str, sums: list[Json]) -> None:
        rows = [
            (each["name"], str(each["pictures"]), *(money(each[f"{kind}_usd"]) for kind in _KINDS))
            for each in sums
        ]
        self._section((what, "pictures", "paid", "unknown", "open"), rows)

    def _section(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if rows:
            self.output.say("")
            self.output.table(headings, rows)

    async def _for_each(self, verb: str) -> Exit:
        """One after the other: what is refused does not keep the others from it."""
        worst = Exit.DONE
        for job_id in self.chosen.jobs:
            try:
                job = await self.api.post(f"/api/v1/jobs/{_id(job_id)}/{verb}")
            except CliError as error:
                if error.code != "job_not_found" and "job_id" not in error.problem:
                    raise
                self.output.complain(error)
                worst = max(worst, error.exit_code)
                continue
            if self.output.is_json:
                self.output.json(job)
            else:
                self.output.say(f"{job['job_id']}  {job['state']}")
        return worst

    async def _download(self, jobs: list[Json], folder: Path, stages: list[str] | None) -> None:
        gate = asyncio.Semaphore(self.settings.parallel)
        for job in jobs:
            files = await download(self.api, job, folder, stages or finished_stages(job), gate)
            if self.output.is_json:
                self.output.json({"job_id": job["job_id"], "files": [str(file) for file in files]})
            for file in files:
                self.output.say(str(file))

    def _show(self, event: Json) -> None:
        if self.output.is_json:
            self.output.json(event)
            return
        at = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
        more = "  ".join(f"{name}={value}" for name, value in event.items() if name not in _LOG_KEYS)
        stage = event["stage"] or "-"
        line = f"{at:%Y-%m-%d %H:%M:%S}Z {event['level']:<7} {event['job_id']} {stage:<11} {event['event']}"
        self.output.say(f"{line}  {more}".rstrip(), _LEVEL_STYLES.get(event["level"], ""))


_KINDS = ("settled", "unknown", "open")


def _id(text: str) -> str:
    """A job id as part of a path."""
    return quote(text, safe="")


def _row(job: Json) -> tuple[str, ...]:
    error = job.get("error")
    created = datetime.fromisoformat(job["created_at"]).astimezone(UTC)
    return (
        job["job_id"],
        job["state"],
        job["stage"] or "",
        f"{job['progress']:.0%}",
        money(job["cost_usd"]),
        f"{created:%Y-%m-%d %H:%M}Z",
        job.get("filename") or job["source"],
        f"{error['code']}: {error['message']}" if error else "",
    )
