"""What a check is, and the three ways it can end."""

from __future__ import annotations

from typing import ClassVar, Protocol

from imagery.contracts import CheckResult
from imagery.guardrail.subject import GuardrailSubject


class PictureCheck(Protocol):
    """One check of a file: measures one thing and compares it with its limit."""

    name: ClassVar[str]

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Measure and judge. Raises nothing, whatever the file holds."""
        ...


def passed(name: str, measured: str, limit: str, message: str = "ok") -> CheckResult:
    """Nothing to object to."""
    return CheckResult(name=name, passed=True, measured=measured, limit=limit, message=message)


def failed(name: str, measured: str, limit: str, code: str, message: str) -> CheckResult:
    """A reason to reject: ``code`` for programs, ``message`` with the way out for people."""
    return CheckResult(name=name, passed=False, measured=measured, limit=limit, code=code, message=message)


def not_measured(name: str, reason: str) -> CheckResult:
    """The check could not, or need not, be made."""
    return CheckResult(name=name, passed=None, measured="not measured", limit="", message=reason)
