"""What ends a command, each with its exit code and the way out."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

_KEY = (
    "Pass --key or set IMAGERY_API_KEY. To make a key for the stack that runs here: "
    'make users ARGS="create NAME".'
)
_WAYS_OUT = {
    "invalid_api_key": _KEY,
    "missing_api_key": _KEY,
    "job_not_found": "'imagery jobs' lists the jobs that this key may see.",
    "job_not_retryable": "'imagery watch JOB' shows the job's state.",
    "payment_unknown": (
        "An operator checks the provider's bill and settles the call with "
        "POST /api/v1/jobs/JOB/spend/resolve; then the job can be retried."
    ),
    "idempotency_key_reused": (
        "Leave --idempotency-key out: the key is then made from the photo and its options."
    ),
    "image_not_found": "'imagery watch JOB' shows which stages have finished.",
    "image_expired": "Submit the photo again.",
    "callbacks_not_configured": "Set WEBHOOK_SIGNING_KEY where the API runs, or leave --callback-url out.",
    "jobs_per_minute": "Run the same command again in a minute: photos that arrived are not sent twice.",
    "concurrent_jobs": (
        "Run the same command again when some jobs have ended: photos that arrived are not sent twice."
    ),
    "budget_usd_per_day": "The budget is renewed at midnight UTC; 'imagery spend' shows it.",
    "price_above_max": "Raise --max-usd, or choose a smaller --image-size.",
    "quota_usd_per_day": "The quota is renewed at midnight UTC; 'imagery spend' shows it.",
}


class ExitCode(IntEnum):
    """Exit codes of the process."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class ClientError(Exception):
    """Ends the command. It prints ``title: detail``, then the way out.

    ``problem``: the API's ``application/problem+json``, empty where the API did not send one.
    """

    def __init__(
        self,
        title: str,
        detail: str,
        way_out: str = "",
        *,
        exit_code: ExitCode = ExitCode.USAGE,
        problem: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}")
        self.title = title
        self.detail = detail
        self.way_out = way_out
        self.exit_code = exit_code
        self.problem = problem or {}
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        """The API's stable error code, empty where it sent none."""
        return str(self.problem.get("code", ""))

    def to_json(self) -> dict[str, Any]:
        """The error for scripts: title, detail, way out, exit code, and all of the problem."""
        words = {"title": self.title, "detail": self.detail, "way_out": self.way_out}
        return {"error": {**words, **self.problem, "exit_code": int(self.exit_code)}}


def unreachable(url: str, reason: str) -> ClientError:
    """Nothing listens at ``url``, or a gateway in front of it failed."""
    way_out = "Is it running? 'make run' starts it here; --url or IMAGERY_URL names another one."
    return ClientError("No answer", f"{url}: {reason}", way_out, exit_code=ExitCode.UNREACHABLE)


def not_the_api(detail: str) -> ClientError:
    """Something else than this API listens at the URL."""
    return ClientError("Not the API", detail, "Name the right address with --url or IMAGERY_URL.")


def from_problem(status: int, problem: dict[str, Any], retry_after_s: float | None) -> ClientError:
    """The error that the API's ``application/problem+json`` means for a command."""
    code = str(problem.get("code", ""))
    title = str(problem.get("title") or f"HTTP {status}")
    detail = str(problem.get("detail") or "The API gave no reason.")
    return ClientError(
        f"{title} ({code or status})",
        detail,
        _WAYS_OUT.get(code, _failed_checks(problem)),
        exit_code=_exit_code(status),
        problem=problem,
        retry_after_s=retry_after_s,
    )


def _exit_code(status: int) -> ExitCode:
    if status in {401, 403, 404}:
        return ExitCode.USAGE
    return ExitCode.UNREACHABLE if status in {502, 503, 504} else ExitCode.FAILED


def _failed_checks(problem: dict[str, Any]) -> str:
    """The measured value and the limit of each check of the guardrail that failed."""
    checks = [each for each in problem.get("errors") or [] if isinstance(each, dict) and "limit" in each]
    return "; ".join(f"{each.get('name')}: {each.get('measured')}, limit {each['limit']}" for each in checks)
