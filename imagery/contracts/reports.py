"""What people are shown: an error, and the guardrail's report."""

from __future__ import annotations

from typing import Any

from imagery.contracts.message import Message


class Problem(Message):
    """An error as RFC 9457 ``application/problem+json``; ``code`` is a stable snake_case word."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    job_id: str | None = None
    errors: list[dict[str, Any]] | None = None


class CheckResult(Message):
    """One check of the guardrail: what was measured against which limit.

    ``passed`` None: not measured, because a cheaper check had rejected the input or this one is switched off.
    """

    name: str
    passed: bool | None
    measured: str
    limit: str
    code: str | None = None
    message: str


class GuardrailReport(Message):
    """The guardrail's verdict with every check that was made, cheapest first.

    ``width`` and ``height``: of the file, pixels. ``scaled_from_mp``: its megapixels, if its clean copy has
    fewer; else None.
    """

    admitted: bool
    checks: list[CheckResult]
    code: str | None = None
    message: str
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    scaled_from_mp: float | None = None
    duration_ms: float = 0.0
