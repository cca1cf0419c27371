"""What ends a command, each with its exit code and the way out."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

_KEY = (
    "Pass --key, set IMAGERY_API_KEY, or make a key where the database is: "
    "python -m imagery.users create NAME."
)
_WAYS_OUT = {
    "invalid_api_key": _KEY,
    "missing_api_key": _KEY,
    "job_not_found": "'jobs' lists those that this key may see.",
    "job_not_retryable": "'watch' tells how the job stands.",
    "payment_unknown": (
        "An operator looks at the provider's bill and settles the call: "
        "POST /api/v1/jobs/JOB/spend/resolve; then it can be retried."
    ),
    "idempotency_key_reused": "Leave --idempotency-key off: it is then made from the photo and its options.",
    "image_not_found": "'watch' tells which stages have finished.",
    "image_expired": "Submit the photo again.",
    "callbacks_not_configured": "Set WEBHOOK_SIGNING_KEY where the API runs, or leave --callback-url off.",
    "jobs_per_minute": "Submit again in a minute: what is there already is not sent twice.",
    "concurrent_jobs": "Submit again when some have ended: what is there already is not sent twice.",
    "budget_usd_per_day": "The budget is renewed at midnight UTC; 'spend' shows it.",
    "quota_usd_per_day": "The quota is renewed at midnight UTC; 'spend' shows it.",
}


class Exit(IntEnum):
    """What the shell is told."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class CliError(Exception):
    """Ends the command: ``title: detail``, then the way out. ``problem``: the API's own words, if any."""

    def __init__(
        self,
        title: str,
        detail: str,
        way_out: str = "",
        *,
        exit_code: Exit = Exit.USAGE,
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
        """The API's stable word for it, empty where the API did not speak."""
        return str(self.problem.get("code", ""))

    def to_json(self) -> dict[str, Any]:
        """The error as scripts get it."""
        told = {"title": self.title, "detail": self.detail, "way_out": self.way_out}
        return {"error": {**told, **self.problem, "exit_code": int(self.exit_code)}}


def unreachable(url: str, reason: str) -> CliError:
    """Nobody answers at ``url``."""
    way_out = "Does it run? 'make run' starts it here; --url or IMAGERY_URL names another one."
    return CliError("No answer", f"{url}: {reason}", way_out, exit_code=Exit.UNREACHABLE)


def from_problem(status: int, problem: dict[str, Any], retry_after_s: float | None) -> CliError:
    """What the API's ``application/problem+json`` means for a command."""
    code = str(problem.get("code", ""))
    title = str(problem.get("title") or f"HTTP {status}")
    detail = str(problem.get("detail") or "The API gave no reason.")
    return CliError(
        f"{title} ({code or status})",
        detail,
        _WAYS_OUT.get(code, _failed_checks(problem)),
        exit_code=_exit_code(status),
        problem=problem,
        retry_after_s=retry_after_s,
    )


def _exit_code(status: int) -> Exit:
    if status in {401, 403, 404}:
        return Exit.USAGE
    return Exit.UNREACHABLE if status in {502, 503, 504} else Exit.FAILED


def _failed_checks(problem: dict[str, Any]) -> str:
    """Measured against limit of each check of the guardrail that refused."""
    checks = [each for each in problem.get("errors") or [] if isinstance(each, dict) and "limit" in each]
    return "; ".join(f"{each.get('name')}: {each.get('measured')}, limit {each['limit']}" for each in checks)
