"""Azure AI Content Safety, where an endpoint is set: a second opinion on picture and prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from imagery.contracts import CheckResult
from imagery.database.breakers import CircuitBreakers
from imagery.database.circuits import CircuitOpenError, GuardedDependency
from imagery.guardrail.checks.base import failed, not_measured, passed
from imagery.identity import make_credential
from imagery.settings import ContentSafetyFallback, Settings
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_LEASE_MARGIN_S = 5.0
PICTURE, PROMPT = "content_safety_picture", "content_safety_prompt"


class ContentSafetyUnavailableError(Exception):
    """The service did not respond, and the settings say to wait for it."""

    code = "content_safety_unavailable"


class ContentSafety:
    """Asks the service once for each text and picture, without retries."""

    def __init__(self, settings: Settings, circuits: CircuitBreakers | None = None) -> None:
        self._settings = settings
        self._circuits = circuits

    @property
    def is_used(self) -> bool:
        """True when an endpoint is set."""
        return bool(self._settings.content_safety.endpoint)

    def prompt(self, prompt: str) -> CheckResult:
        """Judge a text. Raises ``ContentSafetyUnavailableError``."""
        from azure.ai.contentsafety.models import AnalyzeTextOptions

        return self._judge(
            PROMPT, "prompt", lambda: self._client.analyze_text(AnalyzeTextOptions(text=prompt))
        )

    def picture(self, jpeg: bytes) -> CheckResult:
        """Judge a picture. Raises ``ContentSafetyUnavailableError``."""
        from azure.ai.contentsafety.models import AnalyzeImageOptions, ImageData

        options = AnalyzeImageOptions(image=ImageData(content=jpeg))
        return self._judge(PICTURE, "picture", lambda: self._client.analyze_image(options))

    def _judge(self, name: str, what: str, ask: Callable[[], Any]) -> CheckResult:
        from azure.core.exceptions import AzureError  # the SDK is not for worker processes

        most = self._settings.content_safety.policy.max_severity
        try:
            severities = _severities(self._ask(ask).categories_analysis)
        except (AzureError, CircuitOpenError) as error:
            _log.warning("content_safety_failed", what=what, error=type(error).__name__)
            if self._settings.content_safety.policy.fallback is ContentSafetyFallback.WAIT:
                raise ContentSafetyUnavailableError(
                    "Content moderation does not respond. Try again."
                ) from error
            return not_measured(name, "Azure AI Content Safety did not respond; the local checks decided")
        worst, severity = max(severities.items(), key=lambda item: item[1], default=("none", 0))
        measured, limit = f"{worst} {severity}", f"severity up to {most}"
        if severity > most:
            message = f"The {what} was judged as {worst.lower()} (severity {severity}) and is not processed."
            return failed(name, measured, limit, f"unsafe_{what}", message)
        return passed(name, measured, limit)

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """Ask unless the circuit is open. Raises ``AzureError`` and ``CircuitOpenError``."""
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

        if self._circuits is None:
            return ask()
        lease_s = 2 * self._settings.content_safety.policy.timeout_s + _LEASE_MARGIN_S
        with self._circuits.call(GuardedDependency.CONTENT_SAFETY, lease_s=lease_s) as circuit:
            try:
                answer = ask()
            except Exception as error:
                refused = isinstance(error, HttpResponseError) and (error.status_code or 500) < 500
                if refused and not isinstance(error, ClientAuthenticationError):
                    circuit.answered()
                else:
                    circuit.failed(type(error).__name__)
                raise
            circuit.answered()
            return answer

    @cached_property
    def _client(self) -> Any:
        from azure.ai.contentsafety import ContentSafetyClient
        from azure.core.credentials import AzureKeyCredential

        settings = self._settings
        credential: Any
        if settings.content_safety.key:
            credential = AzureKeyCredential(settings.content_safety.key.get_secret_value())
        else:
            credential = make_credential(settings)
        limit = settings.content_safety.policy.timeout_s
        return ContentSafetyClient(
            str(settings.content_safety.endpoint),
            credential,
            retry_total=0,
            connection_timeout=limit,
            read_timeout=limit,
        )


def _severities(analysis: Iterable[Any]) -> dict[str, int]:
    return {str(getattr(each.category, "value", each.category)): int(each.severity or 0) for each in analysis}
