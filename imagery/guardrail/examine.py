"""The examination: all checks in order, cheapest first, and the clean picture of an admitted image."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from imagery.contracts import CheckResult, GuardrailReport, JobOptions
from imagery.guardrail.checks import CHECKS, Subject
from imagery.guardrail.pictures import normalise
from imagery.settings import Settings

_FAST_COMPRESSION = 1


@dataclass(frozen=True)
class Examination:
    """The report, and how to get the clean picture when the image was admitted."""

    report: GuardrailReport
    _subject: Subject

    def clean_png(self) -> bytes:
        """The admitted image as PNG: upright, sRGB, 8 bit RGB(A), without metadata."""
        buffer = io.BytesIO()
        normalise(self._subject.image).save(buffer, "PNG", compress_level=_FAST_COMPRESSION)
        return buffer.getvalue()


def examine(data: bytes, declared_type: str | None, options: JobOptions, settings: Settings) -> Examination:
    """Examine ``data``. Never raises for what a stranger sends: the report says it."""
    started = time.perf_counter()
    subject = Subject(data, declared_type, options, settings)
    results: list[CheckResult] = []
    for check in CHECKS:
        result = check.run(subject)
        results.append(result)
        if not result.passed:
            break
    last = results[-1]
    known = any(result.name == "format" and result.passed for result in results)
    report = GuardrailReport(
        admitted=last.passed,
        checks=results,
        code=last.code,
        message="admitted" if last.passed else last.message,
        content_type=subject.header.content_type if known else None,
        width=subject.header.width if known else None,
        height=subject.header.height if known else None,
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
    )
    return Examination(report, subject)
