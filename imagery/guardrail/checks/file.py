"""The file as bytes: its size, what it really is, and what else it pretends to be."""

from __future__ import annotations

import io
import re
import zipfile
from typing import ClassVar

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import PictureError
from imagery.guardrail.structure import beside_pixels
from imagery.guardrail.subject import GuardrailSubject

_NEUTRAL_TYPES = {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
_SAME = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"} | {
    "image/heif": "image/heic",
    "image/x-ms-bmp": "image/bmp",
    "image/tif": "image/tiff",
}
_MARKUP = re.compile(rb"<(?:script|html|!doctype html|svg|iframe|\?php)[\s>]", re.IGNORECASE)
_PDF_WITHIN = 1024


class FileSizeCheck:
    """Bytes of the file."""

    name: ClassVar[str] = "file_size"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Count bytes."""
        return self.judge(len(subject.data), subject.limits)

    def judge(self, size: int, limits: PictureLimits) -> CheckResult:
        """Compare ``size`` bytes with the limit."""
        most = limits.max_upload_bytes
        measured, limit = f"{size} bytes", f"1 to {most} bytes"
        if size == 0:
            return failed(self.name, measured, limit, "empty_file", "The file is empty (0 bytes).")
        if size > most:
            message = f"The file has {size} bytes, the limit is {most}: send a smaller one."
            return failed(self.name, measured, limit, "file_too_large", message)
        return passed(self.name, measured, limit)


class FormatCheck:
    """The real type, by content and never by name."""

    name: ClassVar[str] = "format"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Read the header."""
        limit = ", ".join(subject.limits.allowed_formats)
        try:
            header = subject.header
        except PictureError as error:
            return failed(self.name, error.found or "not recognised", limit, error.code, str(error))
        return passed(self.name, header.format, limit)


class DeclaredTypeCheck:
    """The type the sender declares. Another image type is common and harmless, a page or a script is not."""

    name: ClassVar[str] = "declared_type"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Compare with the content."""
        declared = (subject.declared_type or "").split(";")[0].strip().lower()
        declared = _SAME.get(declared, declared)
        real = subject.header.content_type
        strict = subject.limits.strict_content_type
        limit = f"{real}, or none" if strict else "an image type, or none"
        if declared in _NEUTRAL_TYPES or declared == real:
            return passed(self.name, declared or "none", limit)
        if declared.startswith("image/") and declared != "image/svg+xml" and not strict:
            return passed(self.name, declared[:80], limit, f"it is {real}; the content counts")
        message = (
            f"The file was declared as {declared[:80]} but is {real}. Send it with its own content type."
        )
        return failed(self.name, declared[:80], limit, "content_type_mismatch", message)


class PolyglotCheck:
    """A picture that is also an archive, a document or a page if it is opened as one."""

    name: ClassVar[str] = "polyglot"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Look for the marks of other file types."""
        limit = "a picture and nothing else"
        other = _other_kind(subject)
        if other is None:
            return passed(self.name, "picture", limit)
        message = f"The file is a picture and {other} at once: export it from an image editor again."
        return failed(self.name, f"picture and {other}", limit, "polyglot_file", message)


def _other_kind(subject: GuardrailSubject) -> str | None:
    data, header = subject.data, subject.header
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return "a PDF document"
    if any(_MARKUP.search(part) for part in beside_pixels(data, header.format, header.pixel_spans)):
        return "a web page or script"
    if _is_archive(data):
        return "a ZIP archive"
    return None


def _is_archive(data: bytes) -> bool:
    file = io.BytesIO(data)
    if not zipfile.is_zipfile(file):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return bool(archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        # the end mark alone can come about by chance
        return False
