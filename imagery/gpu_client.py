"""The GPU service over HTTP: blob names out, a report or a typed error back."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Generator
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from pydantic import ValidationError

from imagery.contracts import GpuHealth, GpuProgress, GpuReport, GpuRequest, GpuTicket, Problem
from imagery.identity import TOKEN_MARGIN_S, Tokens, TokenUnavailableError, make_credential
from imagery.settings import Settings
from imagery.telemetry.tracing import Span, SpanType, span

HEALTH_TIMEOUT_S = 2.0
_PROGRESS_TIMEOUT_S = 1.0
_CONNECT_TIMEOUT_S = 10.0
# what an answer may take beyond the seconds that the service was asked to wait
_ANSWER_S = 15.0
_MAX_COOKIE_CHARS = 2000
_MAX_CONNECTIONS = 100
_DEFAULT_RETRY_AFTER_S = 5.0
_MAX_RETRY_AFTER_S = 300.0
_BUSY_CODES = {"gpu_busy", "gpu_starting", "gpu_stopping"}
_UNAUTHORIZED_STATUSES = {401, 403}
# of a gateway that has no replica behind it (yet), or cuts off a call that it held for one
_WITHOUT_REPLICA = {408, 502, 503, 504}
_REFUSED_STATUSES = {400, 404, 413, 415, 422}
_OF_THE_PICTURE = {"gpu_out_of_memory", "deadline_exceeded"}
_FINAL_CODES = {"gpu_out_of_memory", "model_unavailable"}


class GpuError(Exception):
    """A call to the GPU service that brought no result.

    ``retryable``: a later attempt may succeed. ``is_outage``: the service is at fault, not the picture.
    """

    retryable = False
    is_outage = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class GpuNoReplicaError(GpuError):
    """No replica has responded yet: none is up, it is starting, or it is silent.

    While a replica starts, ingress refuses the connection, holds the call for up to four minutes, or answers
    with 502, 503 or 504 itself.
    """

    retryable = True
    is_outage = True


class GpuConnectionLostError(GpuError):
    """The service took the call, and its response broke off."""

    retryable = True
    is_outage = True


class GpuBusyError(GpuError):
    """The queue is full or the models are loading: come back in ``retry_after_s``."""

    retryable = True

    def __init__(self, code: str, message: str, retry_after_s: float) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class GpuWorkingError(GpuError):
    """The service is working on it: come back in ``retry_after_s`` with the ``ticket``."""

    retryable = True

    def __init__(self, progress: GpuProgress, ticket: GpuTicket, retry_after_s: float) -> None:
        super().__init__("gpu_working", _said(progress))
        self.progress = progress
        self.ticket = ticket
        self.retry_after_s = retry_after_s


class GpuRejectedError(GpuError):
    """The service rejects the input for good: it is no image, or it shows no subject."""


class GpuUnauthorizedError(GpuError):
    """The service does not accept this caller. This is a matter of configuration; no retry cures it."""


class GpuFailedError(GpuError):
    """The service tried and failed."""

    def __init__(self, code: str, message: str, *, retryable: bool, is_outage: bool) -> None:
        super().__init__(code, message)
        self.retryable = retryable
        self.is_outage = is_outage


class GpuClient:
    """Calls one GPU service; safe to share between threads."""

    def __init__(
        self, settings: Settings, client: httpx.Client | None = None, tokens: Tokens | None = None
    ) -> None:
        retry = settings.gpu.retry
        self._wait_s = max(0.0, min(retry.wait_s, retry.timeout_s - _ANSWER_S))
        self._client = client or httpx.Client(
            auth=_bearer(settings, tokens),
            base_url=settings.gpu.service_url,
            timeout=httpx.Timeout(longest_call_s(settings), connect=_CONNECT_TIMEOUT_S),
            # the cookie that leads to one job's replica must not lead all other jobs there
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # none is kept alive: one that the service closes as it is used again looks like an outage
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0),
        )

    def remove_background(
        self, request: GpuRequest, deadline: datetime, ticket: GpuTicket | None = None
    ) -> GpuReport:
        """Cut the subject out of ``request.source``, or go on with the work of the ``ticket``.

        The work may take until ``deadline``; the call waits for it for a few seconds. Raises ``GpuError`` and
        its children, ``GpuWorkingError`` when it has not ended by then.
        """
        return self._call("/v1/remove-background", request, deadline, ticket)

    def upscale(self, request: GpuRequest, deadline: datetime, ticket: GpuTicket | None = None) -> GpuReport:
        """Upscale ``request.source`` 4x; otherwise like ``remove_background``."""
        return self._call("/v1/upscale", request, deadline, ticket)

    def health(self) -> GpuHealth | None:
        """Ask the service how it is, which wakes it. Returns None if it does not respond in time."""
        try:
            answer = self._client.get("/healthz", timeout=HEALTH_TIMEOUT_S, auth=None)
            return GpuHealth.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError):
            return None

    def progress(self, job_id: str, ticket: GpuTicket | None = None) -> GpuProgress | None:
        """What the service is doing for a job. Returns None if nothing, or if another replica has the job."""
        try:
            answer = self._client.get(
                f"/v1/jobs/{job_id}", timeout=_PROGRESS_TIMEOUT_S, headers=_cookie(ticket)
            )
            return GpuProgress.model_validate_json(answer.content) if answer.is_success else None
        except (httpx.HTTPError, ValidationError):
            return None

    def cancel(self, job_id: str, ticket: GpuTicket | None = None) -> bool:
        """Tell the service that nobody wants the job any more. Returns False if it can't be reached."""
        try:
            answer = self._client.delete(
                f"/v1/jobs/{job_id}", timeout=_PROGRESS_TIMEOUT_S, headers=_cookie(ticket)
            )
            return answer.is_success
        except httpx.HTTPError:
            return False

    def _call(
        self, path: str, request: GpuRequest, deadline: datetime, ticket: GpuTicket | None
    ) -> GpuReport:
        with span(
            f"POST {path}",
            SpanType.CLIENT,
            request.job_id,
            component="HTTP",
            http__method="POST",
            http__url=str(self._client.base_url.join(path)),
        ) as call:
            answer = self._send(path, request, deadline, ticket, call)
            call.set(http__status_code=answer.status_code)
            if answer.status_code == httpx.codes.OK:
                return _report(answer)
            if answer.status_code == httpx.codes.ACCEPTED:
                raise _working(answer, ticket)
            error = _error(answer)
            call.failed(error.code)
            raise error

    def _send(
        self, path: str, request: GpuRequest, deadline: datetime, ticket: GpuTicket | None, call: Span
    ) -> httpx.Response:
        headers = {
            "X-Job-Id": request.job_id,
            "X-Request-Id": uuid.uuid4().hex,
            "X-Deadline": f"{deadline.timestamp():.3f}",
            "Prefer": f"wait={self._wait_s:.0f}",
            **_cookie(ticket),
            **call.headers,
        }
        try:
            return self._client.post(path, json=request.to_json(), headers=headers)
        except _NoTokenError as error:
            raise GpuFailedError(
                "gpu_token_unavailable",
                "No token for the GPU service could be obtained.",
                retryable=True,
                is_outage=True,
            ) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _starting("connection refused") from error
        except httpx.TimeoutException as error:
            if ticket is None:
                raise _starting("no answer yet") from error
            # it has worked on this before
            raise GpuNoReplicaError("gpu_timeout", "The GPU service did not respond in time.") from error
        except httpx.HTTPError as error:
            raise GpuConnectionLostError(
                "gpu_connection_lost", "The GPU service broke off its response."
            ) from error


class _NoTokenError(httpx.RequestError):
    """The request was not sent: no token for it."""


class _Bearer(httpx.Auth):
    """Adds the current token to each request."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            request.headers["Authorization"] = f"Bearer {self._tokens.get()}"
        except TokenUnavailableError as error:
            raise _NoTokenError(str(error), request=request) from error
        yield request


def _bearer(settings: Settings, tokens: Tokens | None) -> _Bearer | None:
    if tokens is not None:
        return _Bearer(tokens)
    if settings.gpu.app_id is None:
        return None
    scope = f"{settings.gpu.app_id}/.default"
    return _Bearer(Tokens(make_credential(settings), scope, TOKEN_MARGIN_S))


def longest_call_s(settings: Settings) -> float:
    """Time limit of a call for a stage, seconds: the service answers when its caller has waited enough."""
    retry = settings.gpu.retry
    return min(retry.timeout_s, retry.wait_s + _ANSWER_S)


def _cookie(ticket: GpuTicket | None) -> dict[str, str]:
    return {"Cookie": ticket.cookie} if ticket is not None and ticket.cookie else {}


def _working(answer: httpx.Response, before: GpuTicket | None) -> GpuError:
    try:
        progress = GpuProgress.model_validate_json(answer.content)
    except ValidationError:
        return _unreadable()
    set_now = [each.partition(";")[0].strip() for each in answer.headers.get_list("set-cookie")]
    cookie = "; ".join(set_now) or (before.cookie if before else "")
    ticket = GpuTicket(work_id=progress.work_id, cookie=cookie[:_MAX_COOKIE_CHARS])
    return GpuWorkingError(progress, ticket, _retry_after_s(answer))


def _said(progress: GpuProgress) -> str:
    if progress.ahead:
        return f"Queued at the GPU, {progress.ahead} ahead."
    if progress.tiles_total:
        return f"The GPU works on it: {progress.tiles_done or 0} of {progress.tiles_total} tiles."
    return "The GPU works on it."


def _starting(sign: str) -> GpuError:
    return GpuNoReplicaError("gpu_starting", f"The GPU service is starting, or is away ({sign}).")


def _unreadable() -> GpuError:
    return GpuFailedError(
        "gpu_bad_answer", "The response of the GPU service can't be read.", retryable=True, is_outage=True
    )


def _report(answer: httpx.Response) -> GpuReport:
    try:
        return GpuReport.model_validate_json(answer.content)
    except ValidationError as error:
        raise _unreadable() from error


def _error(answer: httpx.Response) -> GpuError:
    problem = None
    with contextlib.suppress(ValidationError):
        problem = Problem.model_validate_json(answer.content)
    status = answer.status_code
    if status in _UNAUTHORIZED_STATUSES:
        return GpuUnauthorizedError(
            "gpu_unauthorized", f"The GPU service does not accept this app ({status}). Check GPU_APP_ID."
        )
    if problem is None and status in _WITHOUT_REPLICA:
        return _starting(f"its address responded with {status}")
    if problem is None:
        # not our service: a wrong address
        message = f"The address of the GPU service responded with {status}."
        return GpuNoReplicaError("gpu_unreachable", message)
    if problem.code in _BUSY_CODES:
        return GpuBusyError(problem.code, problem.detail, _retry_after_s(answer))
    if status in _REFUSED_STATUSES:
        return GpuRejectedError(problem.code, problem.detail)
    return GpuFailedError(
        problem.code,
        problem.detail,
        retryable=problem.code not in _FINAL_CODES,
        is_outage=status >= httpx.codes.INTERNAL_SERVER_ERROR and problem.code not in _OF_THE_PICTURE,
    )


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        asked = float(answer.headers.get("Retry-After", _DEFAULT_RETRY_AFTER_S))
    except ValueError:
        return _DEFAULT_RETRY_AFTER_S
    return min(max(asked, 0.1), _MAX_RETRY_AFTER_S)
