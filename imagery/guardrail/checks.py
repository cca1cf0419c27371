"""The checks, one small class each: what is measured, against which limit, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

from PIL import Image

from imagery.contracts import CheckResult, JobOptions
from imagery.guardrail.pictures import Header, PictureError, decode, read_header
from imagery.settings import Settings

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NEUTRAL_TYPES = {"", "application/octet-stream", "binary/octet-stream"}
_SCALE = 4


@dataclass(frozen=True)
class Subject:
    """What is examined. Header and pixels are read once, when a check first asks for them."""

    data: bytes
    declared_type: str | None
    options: JobOptions
    settings: Settings

    @cached_property
    def header(self) -> Header:
        """Raises ``PictureError``."""
        return read_header(self.data)

    @cached_property
    def image(self) -> Image.Image:
        """All pixels. Raises ``PictureError``."""
        return decode(self.data)


class Check(Protocol):
    """One check. A failed one ends the examination: those after it build on it."""

    name: ClassVar[str]

    def run(self, subject: Subject) -> CheckResult:
        """Measure and judge."""
        ...


def _passed(name: str, measured: str, limit: str) -> CheckResult:
    return CheckResult(name=name, passed=True, measured=measured, limit=limit, message="ok")


def _failed(name: str, measured: str, limit: str, code: str, message: str) -> CheckResult:
    return CheckResult(name=name, passed=False, measured=measured, limit=limit, code=code, message=message)


class PromptCheck:
    """The scene's description: length and control characters."""

    name: ClassVar[str] = "prompt"

    def run(self, subject: Subject) -> CheckResult:
        """Count characters."""
        prompt, most = subject.options.prompt, subject.settings.max_prompt_chars
        measured, limit = f"{len(prompt)} characters", f"1 to {most} characters"
        if not prompt.strip():
            return _failed(self.name, measured, limit, "prompt_empty", "The prompt is empty.")
        if len(prompt) > most:
            message = f"The prompt has {len(prompt)} characters, the limit is {most}."
            return _failed(self.name, measured, limit, "prompt_too_long", message)
        if _CONTROL.search(prompt):
            message = "The prompt holds control characters."
            return _failed(self.name, measured, limit, "prompt_control_characters", message)
        return _passed(self.name, measured, limit)


class FileSizeCheck:
    """Bytes of the file."""

    name: ClassVar[str] = "file_size"

    def run(self, subject: Subject) -> CheckResult:
        """Count bytes."""
        size, most = len(subject.data), subject.settings.max_upload_bytes
        measured, limit = f"{size} bytes", f"1 to {most} bytes"
        if size == 0:
            return _failed(self.name, measured, limit, "empty_file", "The file is empty (0 bytes).")
        if size > most:
            message = f"The file has {size} bytes, the limit is {most}."
            return _failed(self.name, measured, limit, "file_too_large", message)
        return _passed(self.name, measured, limit)


class FormatCheck:
    """The real type, by content."""

    name: ClassVar[str] = "format"

    def run(self, subject: Subject) -> CheckResult:
        """Read the header."""
        limit = "PNG, JPEG, WebP, AVIF, TIFF, BMP"
        try:
            header = subject.header
        except PictureError as error:
            return _failed(self.name, "not recognised", limit, error.code, str(error))
        return _passed(self.name, header.format, limit)


class DeclaredTypeCheck:
    """The type the sender declared: any image type will do, a page or a script will not."""

    name: ClassVar[str] = "declared_type"

    def run(self, subject: Subject) -> CheckResult:
        """Compare with the content."""
        declared = (subject.declared_type or "").split(";")[0].strip().lower()
        limit = "an image type, or none"
        if declared in _NEUTRAL_TYPES or declared.startswith("image/"):
            return _passed(self.name, declared or "none", limit)
        message = (
            f"The file was declared as {declared} but is {subject.header.content_type}. "
            "Send it with its own content type."
        )
        return _failed(self.name, declared, limit, "content_type_mismatch", message)


class FramesCheck:
    """Animations and multi-page files have no single picture to place."""

    name: ClassVar[str] = "frames"

    def run(self, subject: Subject) -> CheckResult:
        """Count frames."""
        frames = subject.header.frames
        if frames > 1:
            message = f"The image has {frames} frames or pages; send a single picture."
            return _failed(self.name, str(frames), "1", "too_many_frames", message)
        return _passed(self.name, str(frames), "1")


class SidesCheck:
    """Shortest and longest side."""

    name: ClassVar[str] = "sides"

    def run(self, subject: Subject) -> CheckResult:
        """Compare both sides with their limits."""
        header, settings = subject.header, subject.settings
        measured = f"{header.width}x{header.height} px"
        limit = f"{settings.min_side_px} to {settings.max_side_px} px"
        if min(header.width, header.height) < settings.min_side_px:
            message = f"The image is {measured}; each side must have at least {settings.min_side_px} px."
            return _failed(self.name, measured, limit, "image_too_small", message)
        if max(header.width, header.height) > settings.max_side_px:
            message = f"The image is {measured}; no side may exceed {settings.max_side_px} px."
            return _failed(self.name, measured, limit, "image_too_large", message)
        return _passed(self.name, measured, limit)


class MegapixelsCheck:
    """Pixels in, and pixels after the upscaling."""

    name: ClassVar[str] = "megapixels"

    def run(self, subject: Subject) -> CheckResult:
        """Multiply, before anything is decoded."""
        settings = subject.settings
        most = min(settings.max_megapixels, settings.max_output_megapixels / _SCALE**2)
        megapixels = subject.header.megapixels
        measured, limit = f"{megapixels:.2f} MP", f"{most:.2f} MP"
        if megapixels > most:
            message = f"The image has {measured}, the limit is {limit}: send a smaller one."
            return _failed(self.name, measured, limit, "too_many_pixels", message)
        return _passed(self.name, measured, limit)


class DecodeCheck:
    """Every pixel decodes."""

    name: ClassVar[str] = "decodes"

    def run(self, subject: Subject) -> CheckResult:
        """Decode to the end."""
        try:
            image = subject.image
        except PictureError as error:
            return _failed(self.name, "no", "whole image", error.code, str(error))
        return _passed(self.name, f"{image.mode}, whole image", "whole image")


CHECKS: tuple[Check, ...] = (
    PromptCheck(),
    FileSizeCheck(),
    FormatCheck(),
    DeclaredTypeCheck(),
    FramesCheck(),
    SidesCheck(),
    MegapixelsCheck(),
    DecodeCheck(),
)
