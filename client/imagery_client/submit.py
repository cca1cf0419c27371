"""Send photos, several at once, so that a repeated command finds what the first one sent."""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from imagery_client.api import Api, Json
from imagery_client.errors import CliError, Exit
from imagery_client.output import Output
from imagery_client.photos import content_hash, idempotency_key, photos
from imagery_client.settings import CliSettings

_ENDS_ALL = {Exit.USAGE, Exit.UNREACHABLE}
_NAME_CHARS = 30


@dataclass
class Sent:
    """One photo and what became of it: a job, or an error."""

    photo: Path
    key: str = ""
    job_id: str = ""
    state: str = ""
    is_new: bool = False
    error: CliError | None = None

    def to_json(self) -> Json:
        """As scripts get it."""
        told = {"photo": str(self.photo), "job_id": self.job_id or None, "state": self.state or None}
        more = {"is_new": self.is_new, "idempotency_key": self.key}
        return told | more | (self.error.to_json() if self.error else {})


class Submission:
    """The photos of one command; ``job_ids`` grows as they get their jobs."""

    def __init__(
        self, api: Api, settings: CliSettings, output: Output, chosen: Namespace, job_ids: list[str]
    ) -> None:
        self._api = api
        self._settings = settings
        self._output = output
        self._chosen = chosen
        self._job_ids = job_ids
        self._fields = fields_of(chosen)
        self._gate = asyncio.Semaphore(settings.parallel)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=output.console,
            transient=True,
        )
        self._base_key: str | None = chosen.idempotency_key

    async def run(self) -> list[Sent]:
        """Each photo with its job or its refusal. Raises ``CliError`` for what concerns all of them."""
        files = [Sent(photo) for photo in photos(self._chosen.photos, self._settings.max_photos)]
        if self._chosen.fresh and self._base_key is None:
            self._base_key = f"cli-fresh-{uuid.uuid4().hex}"
            self._output.note(
                "--fresh computes and pays anew each time. Should this command be interrupted, repeat it "
                f"with --idempotency-key {self._base_key}, which pays once."
            )
        with ExitStack() as shown:
            if self._output.is_live:
                shown.enter_context(self._progress)
            await asyncio.gather(*(self._send(each, len(files)) for each in files))
        return files

    async def _send(self, sent: Sent, number: int) -> None:
        async with self._gate:
            try:
                content = await asyncio.to_thread(content_hash, sent.photo)
                sent.key = self._key(content, number)
                await self._upload(sent)
            except CliError as error:
                # a key, an address or a host that is wrong is so for every photo
                if error.exit_code in _ENDS_ALL and error.retry_after_s is None:
                    raise
                sent.error = error
        self._tell(sent)

    async def _upload(self, sent: Sent) -> None:
        size = sent.photo.stat().st_size
        task = self._progress.add_task(sent.photo.name[-_NAME_CHARS:], total=size)
        try:
            answer, sent.is_new = await self._until_not_busy(sent, task)
        finally:
            self._progress.remove_task(task)
        sent.job_id, sent.state = str(answer["job_id"]), str(answer["status"])
        self._job_ids.append(sent.job_id)

    async def _until_not_busy(self, sent: Sent, task: TaskID) -> tuple[Json, bool]:
        kind = mimetypes.guess_type(sent.photo.name)[0] or "application/octet-stream"
        for attempt in range(1, self._settings.busy_attempts + 1):
            try:
                return await self._api.upload(
                    sent.photo,
                    kind,
                    self._fields,
                    sent.key,
                    lambda done: self._progress.update(task, completed=done),
                )
            except CliError as error:
                wait = error.retry_after_s
                is_last = attempt == self._settings.busy_attempts
                if wait is None or is_last or wait > self._settings.busy_wait_max_s:
                    raise
                self._output.note(f"{sent.photo.name}: {error.detail} Again in {wait:.0f} s.")
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt answers or raises")

    def _key(self, content: str, number: int) -> str:
        if self._base_key is None:
            return idempotency_key(content, self._fields)
        return self._base_key if number == 1 else f"{self._base_key}-{content[:16]}"

    def _tell(self, sent: Sent) -> None:
        if self._output.is_json:
            self._output.json(sent.to_json())
        elif sent.error is not None:
            self._output.say(f"{sent.photo}  refused  {sent.error.title}: {sent.error.detail}", "red")
            if sent.error.way_out:
                self._output.say(f"  {sent.error.way_out}", "yellow")
        elif sent.is_new:
            self._output.say(f"{sent.photo}  job {sent.job_id}")
        else:
            again = (
                "'retry' runs it again" if sent.state in {"FAILED", "CANCELLED"} else "--fresh makes it anew"
            )
            known = f"sent before with the same options: nothing is paid twice ({sent.state}; {again})"
            self._output.say(f"{sent.photo}  job {sent.job_id}  {known}", "cyan")


def fields_of(chosen: Namespace) -> dict[str, str]:
    """The form fields that were chosen; what was not keeps the API's default."""
    given = {
        "prompt": chosen.prompt,
        "aspect_ratio": chosen.aspect_ratio,
        "image_size": chosen.image_size,
        "callback_url": chosen.callback_url,
        "fresh": "true" if chosen.fresh else None,
    }
    return {name: value for name, value in given.items() if value}
