"""Send photos, several at once, so that a repeated command finds what the first one sent."""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.text import Text

from imagery_client.api import ApiClient
from imagery_client.errors import ClientError, ExitCode
from imagery_client.model import Accepted, JobState
from imagery_client.output import Output, plain
from imagery_client.photos import content_hash, find_photos, idempotency_key
from imagery_client.price import check_price

_ENDS_ALL = {ExitCode.USAGE, ExitCode.UNREACHABLE}
_CAN_BE_RETRIED = {JobState.FAILED, JobState.CANCELLED}
_NAME_CHARS = 30
# how often an upload is repeated when the API says when to come again, and the longest such wait
_BUSY_ATTEMPTS = 5
_BUSY_WAIT_MAX_S = 120.0


@dataclass
class SubmittedPhoto:
    """One photo and what became of it: a job, or an error."""

    photo: Path
    key: str = ""
    job_id: str = ""
    state: str = ""
    is_new: bool = False
    error: ClientError | None = None

    def to_json(self) -> dict[str, Any]:
        """The photo for scripts: path, job id and state (null without a job), key, error."""
        job = {"photo": str(self.photo), "job_id": self.job_id or None, "state": self.state or None}
        more = {"is_new": self.is_new, "idempotency_key": self.key}
        return job | more | (self.error.to_json() if self.error else {})


class Submission:
    """Sends the photos of one command; ``job_ids`` grows as they get their jobs."""

    def __init__(self, api: ApiClient, output: Output, chosen: Namespace, job_ids: list[str]) -> None:
        self._api = api
        self._output = output
        self._chosen = chosen
        self._job_ids = job_ids
        self._fields = fields_of(chosen)
        # no part of the key: the same photo under another limit is the same job
        self._limit: dict[str, str] = {}
        self._gate = asyncio.Semaphore(chosen.parallel)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=output.console,
            transient=True,
        )
        self._base_key: str | None = chosen.idempotency_key

    async def run(self) -> list[SubmittedPhoto]:
        """Returns each photo with its job or its refusal, none in a dry run.

        Raises ``ClientError`` for what concerns all.
        """
        photos = [SubmittedPhoto(each) for each in find_photos(self._chosen.photos, self._chosen.limit)]
        self._limit = await check_price(self._api, self._output, self._chosen, len(photos))
        if self._chosen.dry_run:
            return []
        if self._chosen.fresh and self._base_key is None:
            self._base_key = f"cli-fresh-{uuid.uuid4().hex}"
            self._output.note(
                "--fresh computes and pays again each time. If this command is interrupted, repeat it "
                f"with --idempotency-key {self._base_key}, which pays once."
            )
        with ExitStack() as shown:
            if self._output.is_live:
                shown.enter_context(self._progress)
            await asyncio.gather(*(self._send(each, len(photos)) for each in photos))
        return photos

    async def _send(self, sent: SubmittedPhoto, number: int) -> None:
        async with self._gate:
            try:
                content = await asyncio.to_thread(content_hash, sent.photo)
                sent.key = self._key(content, number)
                await self._upload(sent)
            except ClientError as error:
                # a wrong key or address and a host that is away concern every photo
                if error.exit_code in _ENDS_ALL and error.retry_after_s is None:
                    raise
                sent.error = error
        self._report(sent)

    async def _upload(self, sent: SubmittedPhoto) -> None:
        size = sent.photo.stat().st_size
        name = Text(plain(sent.photo.name[-_NAME_CHARS:])).markup
        task = self._progress.add_task(name, total=size)
        try:
            accepted, sent.is_new = await self._until_not_busy(sent, task)
        finally:
            self._progress.remove_task(task)
        sent.job_id, sent.state = accepted.job_id, accepted.state
        self._job_ids.append(sent.job_id)

    async def _until_not_busy(self, sent: SubmittedPhoto, task: TaskID) -> tuple[Accepted, bool]:
        kind = mimetypes.guess_type(sent.photo.name)[0] or "application/octet-stream"
        for attempt in range(1, _BUSY_ATTEMPTS + 1):
            try:
                return await self._api.upload(
                    sent.photo,
                    kind,
                    self._fields | self._limit,
                    sent.key,
                    lambda done: self._progress.update(task, completed=done),
                )
            except ClientError as error:
                wait = error.retry_after_s
                is_last = attempt == _BUSY_ATTEMPTS
                if wait is None or is_last or wait > _BUSY_WAIT_MAX_S:
                    raise
                self._output.note(f"{sent.photo.name}: {error.detail} Trying again in {wait:.0f} s.")
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _key(self, content: str, number: int) -> str:
        if self._base_key is None:
            return idempotency_key(content, self._fields)
        return self._base_key if number == 1 else f"{self._base_key}-{content[:16]}"

    def _report(self, sent: SubmittedPhoto) -> None:
        if self._output.is_json:
            self._output.json(sent.to_json())
        elif sent.error is not None:
            self._output.say(f"{sent.photo}  refused  {sent.error.title}: {sent.error.detail}", "red")
            if sent.error.way_out:
                self._output.say(f"  {sent.error.way_out}", "yellow")
        elif sent.is_new:
            self._output.say(f"{sent.photo}  job {sent.job_id}")
        else:
            again = "'imagery retry' runs it again" if sent.state in _CAN_BE_RETRIED else "--fresh pays again"
            known = f"sent before with the same options: nothing is paid twice ({sent.state}; {again})"
            self._output.say(f"{sent.photo}  job {sent.job_id}  {known}", "cyan")


def fields_of(chosen: Namespace) -> dict[str, str]:
    """The form fields that were chosen; the API has defaults for the others."""
    given = {
        "output": chosen.output,
        "prompt": chosen.prompt,
        "aspect_ratio": chosen.aspect_ratio,
        "image_size": chosen.image_size,
        "thinking_level": chosen.thinking_level,
        "seed": None if chosen.seed is None else str(chosen.seed),
        "callback_url": chosen.callback_url,
        "fresh": "true" if chosen.fresh else None,
    }
    return {name: value for name, value in given.items() if value}
