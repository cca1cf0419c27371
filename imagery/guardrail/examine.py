"""The examinations: prompt and size here, everything that reads a file in a worker process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

from imagery.contracts import CheckResult, GuardrailReport, JobOptions
from imagery.database.breakers import CircuitBreakers
from imagery.guardrail.checks import FILE_SIZE, PHASES, PROMPT_CHECKS, not_measured
from imagery.guardrail.content_safety import PICTURE, PROMPT, ContentSafety
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.sandbox import (
    Sandbox,
    SandboxCrashedError,
    SandboxError,
    SandboxMemoryError,
    SandboxTimeoutError,
)
from imagery.guardrail.subject import GuardrailSubject
from imagery.guardrail.turns import Turn
from imagery.provenance.credentials import Credentials, unreadable
from imagery.provenance.signer import SignerError
from imagery.provenance.signers import trust_anchors
from imagery.settings import Settings
from imagery.telemetry.logs import get_logger
from imagery.text import plain

_log = get_logger(__name__)
_SANDBOX = "sandbox"
_MAX_TYPE = 200
_OUTPUT_FORMATS = ("PNG",)
JOB_OF_NOBODY = Turn()


class NoThumbnailError(Exception):
    """The file is no picture, or too large a one."""


@dataclass(frozen=True)
class Examination:
    """The report, and the clean copy of an admitted picture if it was asked for.

    ``picture``: PNG, upright, sRGB, 8 bit RGB or RGBA, without metadata, of no more pixels than can be
    upscaled. ``statement``: if the file has Content Credentials, a ``KeptStatement`` as JSON.
    """

    report: GuardrailReport
    picture: bytes | None = None
    statement: bytes | None = None


@dataclass(frozen=True)
class _FileVerdict:
    checks: list[CheckResult]
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    scaled_from_mp: float | None = None
    picture: bytes | None = None
    preview: bytes | None = None
    statement: bytes | None = None


class Guardrail:
    """Admits or rejects. An application has one: it owns the worker processes."""

    def __init__(
        self,
        settings: Settings,
        circuits: CircuitBreakers | None = None,
        limits: PictureLimits | None = None,
    ) -> None:
        """``limits`` None: those of the settings."""
        self._settings = settings
        self._limits = limits or PictureLimits.of(settings)
        self._content_safety = ContentSafety(settings, circuits)
        self.sandbox = Sandbox(settings)

    def examine(
        self,
        data: bytes,
        declared_type: str | None,
        options: JobOptions,
        *,
        picture: bool = False,
        turn: Turn = JOB_OF_NOBODY,
    ) -> Examination:
        """Examine a file and a prompt; ``picture`` asks for the clean copy too.

        Untrusted input never raises; the report says what is wrong with it. Raises ``SandboxError`` (busy or
        unavailable) and ``ContentSafetyUnavailableError``: later attempts may succeed.
        """
        started = time.perf_counter()
        prompts = self.check_prompt(options.prompt)
        file = self._file(data, declared_type, turn, picture=picture)
        checks = [*prompts, *file.checks]
        if self._content_safety.is_used:
            checks += self._second_opinion(options.prompt, file, admitted=_rejection(checks) is None)
        rejection = _rejection(checks)
        report = GuardrailReport(
            admitted=rejection is None,
            checks=checks,
            code=rejection.code if rejection else None,
            message=rejection.message if rejection else "admitted",
            content_type=file.content_type,
            width=file.width,
            height=file.height,
            scaled_from_mp=file.scaled_from_mp,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )
        if rejection is not None or not picture:
            return Examination(report)
        return Examination(report, file.picture, file.statement)

    def judge(self, png: bytes, turn: Turn = JOB_OF_NOBODY) -> CheckResult | None:
        """Judge a picture of ours (PNG) that is about to be delivered, by what it shows.

        Returns the check that objects, None if none does. Raises ``SandboxError`` and
        ``ContentSafetyUnavailableError``: later attempts may succeed.
        """
        order = {
            "order": "judge",
            "limits": self._limits.model_copy(update={"allowed_formats": _OUTPUT_FORMATS}).to_json(),
            "preview": self._content_safety.is_used,
        }
        memory_mb = self._settings.guardrail.sandbox.thumbnail_memory_mb
        answer, blobs = self.sandbox.call(order, png, memory_mb, turn)
        objection = _rejection([CheckResult.from_json(check) for check in answer["checks"]])
        if objection is None and self._content_safety.is_used:
            objection = _rejection([self._content_safety.picture(blobs[0])])
        return objection

    def too_large(self, size: int, options: JobOptions) -> GuardrailReport:
        """The report of a file that is too large to be read."""
        result = FILE_SIZE.judge(size, self._limits)
        checks = [*self.check_prompt(options.prompt), result, *_unmeasured(f"not needed: {result.code}")]
        return GuardrailReport(admitted=False, checks=checks, code=result.code, message=result.message)

    def thumbnail(self, data: bytes, width: int, turn: Turn = JOB_OF_NOBODY) -> bytes:
        """A WebP, ``width`` px wide, of our own picture. Raises ``NoThumbnailError``, ``SandboxError``."""
        guardrail = self._settings.guardrail
        most = max(guardrail.picture.max_megapixels, guardrail.picture.max_output_megapixels)
        return self._thumbnail(data, width, most, guardrail.sandbox.thumbnail_memory_mb, turn)

    def thumbnail_of_upload(self, data: bytes, width: int, turn: Turn = JOB_OF_NOBODY) -> bytes:
        """A thumbnail of an untrusted file, with the limits on pixels and memory of an examination."""
        memory_mb = self._settings.guardrail.sandbox.memory_mb
        return self._thumbnail(data, width, self._limits.max_megapixels, memory_mb, turn)

    def _thumbnail(self, data: bytes, width: int, most: float, memory_mb: int, turn: Turn) -> bytes:
        order = {
            "order": "thumbnail",
            "limits": self._limits.to_json(),
            "width": width,
            "max_megapixels": most,
        }
        try:
            answer, blobs = self.sandbox.call(order, data, memory_mb, turn)
        except (SandboxTimeoutError, SandboxMemoryError, SandboxCrashedError) as error:
            raise NoThumbnailError(str(error)) from error
        if "error" in answer:
            raise NoThumbnailError("The blob is no picture, or too large a one.")
        return blobs[0]

    def credentials(self, data: bytes, turn: Turn = JOB_OF_NOBODY) -> Credentials:
        """The Content Credentials of an untrusted file of any kind.

        One that brings its reader down is broken, with the reason. Raises ``SandboxError`` (busy or
        unavailable).
        """
        order = {"order": "credentials", "limits": self._limits.to_json(), "anchors": self._anchors}
        try:
            memory_mb = self._settings.guardrail.sandbox.memory_mb
            _, (summary,) = self.sandbox.call(order, data, memory_mb, turn)
        except (SandboxTimeoutError, SandboxMemoryError, SandboxCrashedError) as error:
            return unreadable(error.code)
        return Credentials.model_validate_json(summary)

    @cached_property
    def _anchors(self) -> str:
        """Whom to trust; nobody where the settings name a file that is not there."""
        try:
            return trust_anchors(self._settings)
        except SignerError as error:
            _log.error("trust_anchors_missing", reason=str(error))
            return ""

    def close(self) -> None:
        """End the worker processes."""
        self.sandbox.close()

    def check_prompt(self, prompt: str) -> list[CheckResult]:
        """The checks of a prompt alone; they need no file."""
        return [check.run(prompt, self._limits) for check in PROMPT_CHECKS]

    def _file(self, data: bytes, declared_type: str | None, turn: Turn, *, picture: bool) -> _FileVerdict:
        size = FILE_SIZE.run(GuardrailSubject(data, declared_type, self._limits))
        if not size.passed:
            return _FileVerdict([size, *_unmeasured(f"not needed: {size.code}")])
        order = {
            "order": "examine",
            "declared_type": plain(declared_type or "", _MAX_TYPE),
            "limits": self._limits.to_json(),
            "anchors": self._anchors,
            "picture": picture,
            "preview": self._content_safety.is_used,
        }
        try:
            memory_mb = self._settings.guardrail.sandbox.memory_mb
            answer, blobs = self.sandbox.call(order, data, memory_mb, turn)
        except (SandboxTimeoutError, SandboxMemoryError, SandboxCrashedError) as error:
            return _FileVerdict([size, self._stopped(error), *_unmeasured(f"not measured: {error.code}")])
        return _FileVerdict(
            checks=[size, *(CheckResult.from_json(check) for check in answer["checks"])],
            content_type=answer.get("content_type"),
            width=answer.get("width"),
            height=answer.get("height"),
            scaled_from_mp=answer.get("scaled_from_mp"),
            picture=blobs[0] or None,
            preview=blobs[1] or None,
            statement=blobs[2] or None,
        )

    def _stopped(self, error: SandboxError) -> CheckResult:
        sandbox = self._settings.guardrail.sandbox
        limit = f"{sandbox.timeout_s:g} s, {sandbox.memory_mb} MB"
        message = f"{error} Export the picture from an image editor again, smaller if it is large."
        return CheckResult(
            name=_SANDBOX, passed=False, measured=error.code, limit=limit, code=error.code, message=message
        )

    def _second_opinion(self, prompt: str, file: _FileVerdict, *, admitted: bool) -> list[CheckResult]:
        """Asked last, and only if nothing else rejected the input: it costs time and money."""
        if not admitted or file.preview is None:
            return [not_measured(name, "not needed: rejected already") for name in (PROMPT, PICTURE)]
        return [self._content_safety.prompt(prompt), self._content_safety.picture(file.preview)]


def _rejection(checks: list[CheckResult]) -> CheckResult | None:
    return next((check for check in checks if check.passed is False), None)


def _unmeasured(reason: str) -> list[CheckResult]:
    return [not_measured(check.name, reason) for phase in PHASES for check in phase]
