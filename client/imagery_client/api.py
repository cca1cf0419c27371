"""The calls of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from imagery_client.errors import CliError, Exit, from_problem, unreachable
from imagery_client.settings import CliSettings, Target

Json = dict[str, Any]
_AWAY = {502, 503, 504}
_AGAIN_S = 1.0
_LEAST_S = 0.5
_CHUNK = 1 << 16


class Api:
    """One API, by one key. Raises ``CliError`` for everything that is no success.

    ``notice``: what is waited for while the host is away, else empty; ``tell`` hears of it once.
    """

    def __init__(self, target: Target, settings: CliSettings, tell: Callable[[str], None]) -> None:
        self._target = target
        self._settings = settings
        self._tell = tell
        self._has_answered = False
        self.notice = ""
        headers = {"X-API-Key": target.key} if target.key else {}
        try:
            self._client = httpx.AsyncClient(base_url=target.url, headers=headers, timeout=settings.timeout_s)
        except (httpx.InvalidURL, ValueError) as error:
            raise CliError("Not a URL", f"{target.url}: {error}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, is_patient: bool = False, **query: Any) -> Json:
        """A JSON object. ``is_patient``: a host that has answered before may be away for a while."""
        given = {name: value for name, value in query.items() if value is not None}
        ask = lambda: self._client.get(path, params=given)  # noqa: E731
        return _body(await (self._patiently(ask) if is_patient else self._once(ask)))

    async def post(self, path: str, body: Json | None = None) -> Json:
        """A JSON object."""
        return _body(await self._once(lambda: self._client.post(path, json=body)))

    async def upload(
        self, photo: Path, content_type: str, fields: dict[str, str], key: str, sent: Callable[[int], None]
    ) -> tuple[Json, bool]:
        """POST /process: the answer, and whether it made a job. The key makes a repeat harmless."""

        async def send() -> httpx.Response:
            with photo.open("rb") as file:
                files = {"file": (photo.name, _Counted(file, sent), content_type)}
                headers = {"Idempotency-Key": key}
                return await self._client.post(
                    "/api/v1/process",
                    data=fields,
                    files=files,  # type: ignore[arg-type]  # httpx asks for read alone
                    headers=headers,
                )

        answer = await self._patiently(send)
        return _body(answer), answer.status_code == httpx.codes.ACCEPTED

    async def lines(self, query: Json) -> tuple[list[Json], int]:
        """The events that are there now, oldest first, a page of them, and what the next page is after."""
        headers = {"Accept": "application/x-ndjson"}
        answer = await self._patiently(
            lambda: self._client.get("/api/v1/logs", params=query, headers=headers)
        )
        events = [json.loads(line) for line in answer.text.splitlines() if line]
        last = events[-1]["id"] if events else query.get("after", 0)
        return events, max(last, int(answer.headers.get("X-Last-Event-ID", 0)))

    async def follow(self, query: Json) -> AsyncIterator[Json]:
        """Events as they come, without end: each answer resumes where the one before ended."""
        position, last = "", 0
        while True:
            asked = time.monotonic()
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": position} if position else {})
            ask = lambda headers=headers: self._client.get("/api/v1/logs", params=query, headers=headers)  # noqa: E731
            answer = await self._patiently(ask)
            for line in answer.text.splitlines():
                name, _, value = line.partition(":")
                if name == "id":
                    position = value.strip()
                if name == "data" and (event := json.loads(value))["id"] > last:
                    last = event["id"]
                    yield event
            # the API holds its answer until there is something; one that does not must not be flooded
            await asyncio.sleep(max(0.0, _LEAST_S - (time.monotonic() - asked)))

    async def picture(self, job_id: str, stage: str, file: Path) -> None:
        """A stage's picture into ``file``, which is whole or not there."""
        answer = await self._once(
            lambda: self._client.get(f"/api/v1/jobs/{job_id}/images/{stage}"), follows=True
        )
        partial = file.with_name(f".{file.name}.part")
        try:
            if answer.has_redirect_location:
                await self._from_store(answer.headers["Location"], partial)
            else:
                await asyncio.to_thread(partial.write_bytes, answer.content)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)

    async def _from_store(self, link: str, file: Path) -> None:
        """The link is signed by itself, and the key is none of the store's business."""
        try:
            async with (
                httpx.AsyncClient(timeout=self._settings.timeout_s) as store,
                store.stream("GET", link) as answer,
            ):
                if answer.is_error:
                    detail = f"The store answered {answer.status_code} for the picture."
                    raise CliError("No picture", detail, "Ask again: a link is short-lived.")
                with file.open("wb") as out:
                    async for chunk in answer.aiter_bytes(_CHUNK):
                        out.write(chunk)
        except httpx.TransportError as error:
            raise unreachable(link.partition("?")[0], _words(error)) from None

    async def _patiently(self, ask: Callable[[], Any]) -> httpx.Response:
        until = time.monotonic() + self._settings.patience_s
        while True:
            try:
                answer = await self._once(ask)
                self.notice = ""
                return answer
            except CliError as error:
                is_away = error.exit_code is Exit.UNREACHABLE and error.retry_after_s is None
                if not is_away or not self._has_answered or time.monotonic() >= until:
                    raise
                if not self.notice:
                    self.notice = f"{error.detail}; asking again for up to {self._settings.patience_s:.0f} s"
                    self._tell(self.notice)
            await asyncio.sleep(_AGAIN_S)

    async def _once(self, ask: Callable[[], Any], *, follows: bool = False) -> httpx.Response:
        try:
            answer: httpx.Response = await ask()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CliError("Not a URL", f"{self._target.url}: {error}") from None
        except httpx.HTTPError as error:
            raise unreachable(self._target.url, _words(error)) from None
        self._has_answered = self._has_answered or answer.status_code not in _AWAY
        if answer.is_success or (follows and answer.has_redirect_location):
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> CliError:
        problem = {}
        with contextlib.suppress(ValueError):
            problem = answer.json()
        if isinstance(problem, dict) and "code" in problem:
            return from_problem(answer.status_code, problem, _retry_after_s(answer))
        if answer.status_code in _AWAY:
            return unreachable(self._target.url, f"a gateway answered {answer.status_code}")
        detail = f"{self._target.url} answered {answer.status_code}, and not as this API does."
        return CliError("Not the API", detail, "--url or IMAGERY_URL names the right one.")


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: Any, told: Callable[[int], None]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._told(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def fileno(self) -> int:
        return int(self._file.fileno())


def _body(answer: httpx.Response) -> Json:
    with contextlib.suppress(ValueError):
        body = answer.json()
        if isinstance(body, dict):
            return body
    detail = f"{answer.url.host} did not answer with JSON."
    raise CliError("Not the API", detail, "--url or IMAGERY_URL names the right one.")


def _retry_after_s(answer: httpx.Response) -> float | None:
    with contextlib.suppress(ValueError, TypeError):
        asked = float(answer.headers.get("Retry-After"))
        return asked if math.isfinite(asked) and asked >= 0 else None
    return None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
