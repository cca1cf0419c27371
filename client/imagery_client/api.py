"""The HTTP calls of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from imagery_client import __version__
from imagery_client.errors import ClientError, ExitCode, from_problem, not_the_api, unreachable
from imagery_client.model import Accepted, ApiModel, Credentials, LogEvent
from imagery_client.settings import ApiTarget

_AWAY = {502, 503, 504}
# how long a host that answered before may be away before a command gives up, and the pause between two calls
_PATIENCE_S = 60.0
_AGAIN_S = 1.0
_LEAST_S = 0.5
_CHUNK_BYTES = 1 << 16

Model = TypeVar("Model", bound=ApiModel)
Send = Callable[[], Awaitable[httpx.Response]]


class ApiClient:
    """Calls one API with one key. Raises ``ClientError`` unless a call succeeds.

    ``notice``: what it waits for while the host is away, else empty; ``on_notice`` gets it once.
    """

    def __init__(self, target: ApiTarget, timeout_s: float, on_notice: Callable[[str], None]) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._on_notice = on_notice
        self._has_answered = False
        self.notice = ""
        headers = {"User-Agent": f"imagery-client/{__version__}"}
        if target.key:
            headers["X-API-Key"] = target.key
        try:
            self._client = httpx.AsyncClient(base_url=target.url, headers=headers, timeout=timeout_s)
        except (httpx.InvalidURL, ValueError) as error:
            raise ClientError("Not a URL", f"{target.url}: {error}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, model: type[Model], *, is_patient: bool = False, **query: Any) -> Model:
        """GET an object. ``is_patient``: wait for a host that answered before and is away for a while."""
        given = {name: value for name, value in query.items() if value is not None}

        async def send() -> httpx.Response:
            return await self._client.get(path, params=given)

        return _parsed(await (self._patiently(send) if is_patient else self._once(send)), model)

    async def post(self, path: str, model: type[Model], body: dict[str, Any] | None = None) -> Model:
        """POST an object, or nothing; returns the object that comes back."""
        return _parsed(await self._once(lambda: self._client.post(path, json=body)), model)

    async def upload(
        self, photo: Path, content_type: str, fields: dict[str, str], key: str, sent: Callable[[int], None]
    ) -> tuple[Accepted, bool]:
        """POST /process. Returns the job, and whether this request made it.

        ``key``: the Idempotency-Key, which makes a repeat harmless. ``sent`` gets the bytes sent so far.
        """

        async def send() -> httpx.Response:
            with photo.open("rb") as file:
                files = {"file": (photo.name, _CountedFile(file, sent), content_type)}
                headers = {"Idempotency-Key": key}
                return await self._client.post(
                    "/api/v1/process",
                    data=fields,
                    files=files,  # type: ignore[arg-type]  # httpx needs nothing but read
                    headers=headers,
                )

        answer = await self._patiently(send)
        return _parsed(answer, Accepted), answer.status_code == httpx.codes.ACCEPTED

    async def verify(self, file: Path) -> Credentials:
        """POST /provenance/verify."""

        async def send() -> httpx.Response:
            with file.open("rb") as opened:
                return await self._client.post("/api/v1/provenance/verify", files={"file": ("file", opened)})

        try:
            return _parsed(await self._once(send), Credentials)
        except OSError as error:
            raise ClientError("Not readable", f"{file}: {error.strerror}") from None

    async def log_page(self, query: dict[str, Any]) -> tuple[list[LogEvent], int]:
        """One page of the events that exist, oldest first, and the id after which the next page begins."""
        answer = await self._logs("application/x-ndjson", query)
        events = [_event(line, answer) for line in answer.text.splitlines() if line]
        last = events[-1].id if events else query.get("after", 0)
        return events, max(last, int(answer.headers.get("X-Last-Event-ID", 0)))

    async def follow_logs(self, query: dict[str, Any]) -> AsyncIterator[LogEvent]:
        """Events as they come, without end: each call resumes where the one before ended."""
        position, last = "", 0
        while True:
            asked = time.monotonic()
            answer = await self._logs(
                "text/event-stream", query, {"Last-Event-ID": position} if position else {}
            )
            for line in answer.text.splitlines():
                name, _, value = line.partition(":")
                if name == "id":
                    position = value.strip()
                if name == "data" and (event := _event(value, answer)).id > last:
                    last = event.id
                    yield event
            # the API keeps the call open until there is something; one that does not must not be flooded
            await asyncio.sleep(max(0.0, _LEAST_S - (time.monotonic() - asked)))

    async def _logs(
        self, accept: str, query: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        wanted = {"Accept": accept} | (headers or {})
        return await self._patiently(lambda: self._client.get("/api/v1/logs", params=query, headers=wanted))

    async def picture(self, job_id: str, stage: str, file: Path) -> None:
        """Write a stage's picture into ``file``, which is whole or absent."""
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
        """The link is signed; the API key must not reach the store."""
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout_s) as store,
                store.stream("GET", link) as answer,
            ):
                if answer.is_error:
                    detail = f"The store returned {answer.status_code} for the picture."
                    raise ClientError("No picture", detail, "Download it again: a link is short-lived.")
                with file.open("wb") as out:
                    async for chunk in answer.aiter_bytes(_CHUNK_BYTES):
                        out.write(chunk)
        except httpx.TransportError as error:
            raise unreachable(link.partition("?")[0], _words(error)) from None

    async def _patiently(self, send: Send) -> httpx.Response:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = await self._once(send)
                self.notice = ""
                return answer
            except ClientError as error:
                is_away = error.exit_code is ExitCode.UNREACHABLE and error.retry_after_s is None
                if not is_away or not self._has_answered or time.monotonic() >= until:
                    raise
                if not self.notice:
                    self.notice = f"{error.detail}; trying again for up to {_PATIENCE_S:.0f} s"
                    self._on_notice(self.notice)
            await asyncio.sleep(_AGAIN_S)

    async def _once(self, send: Send, *, follows: bool = False) -> httpx.Response:
        try:
            answer = await send()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ClientError("Not a URL", f"{self._target.url}: {error}") from None
        except httpx.HTTPError as error:
            raise unreachable(self._target.url, _words(error)) from None
        self._has_answered = self._has_answered or answer.status_code not in _AWAY
        if answer.is_success or (follows and answer.has_redirect_location):
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> ClientError:
        problem = {}
        with contextlib.suppress(ValueError):
            problem = answer.json()
        if isinstance(problem, dict) and "code" in problem:
            return from_problem(answer.status_code, problem, _retry_after_s(answer))
        if answer.status_code in _AWAY:
            return unreachable(self._target.url, f"a gateway returned {answer.status_code}")
        return not_the_api(
            f"{self._target.url} returned {answer.status_code} without this API's error object."
        )


class _CountedFile:
    """A file that reports how much of it was read."""

    def __init__(self, file: Any, read: Callable[[int], None]) -> None:
        self._file = file
        self._on_read = read

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._on_read(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def fileno(self) -> int:
        return int(self._file.fileno())


def _parsed(answer: httpx.Response, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise not_the_api(f"{answer.url.host} did not return a {model.__name__} object.") from None


def _event(text: str, answer: httpx.Response) -> LogEvent:
    try:
        return LogEvent.model_validate_json(text)
    except ValidationError:
        raise not_the_api(f"{answer.url.host} did not return events.") from None


def _retry_after_s(answer: httpx.Response) -> float | None:
    with contextlib.suppress(ValueError, TypeError):
        asked = float(answer.headers.get("Retry-After"))
        return asked if math.isfinite(asked) and asked >= 0 else None
    return None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
