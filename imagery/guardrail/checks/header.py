"""What the header promises, judged before a single pixel is allocated."""

from __future__ import annotations

from typing import ClassVar

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.subject import GuardrailSubject


class FramesCheck:
    """Animations and multi-page files have no single picture to place."""

    name: ClassVar[str] = "frames"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Count frames."""
        frames, most = subject.header.frames, subject.limits.max_frames
        if frames > most:
            message = f"The image has {frames} frames or pages; send a single picture."
            return failed(self.name, str(frames), f"1 to {most}", "too_many_frames", message)
        return passed(self.name, str(frames), f"1 to {most}")


class SidesCheck:
    """Shortest and longest side."""

    name: ClassVar[str] = "sides"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Compare both sides with their limits."""
        header, limits = subject.header, subject.limits
        measured = f"{header.width}x{header.height} px"
        limit = f"{limits.min_side_px} to {limits.max_side_px} px"
        if min(header.width, header.height) < limits.min_side_px:
            message = f"The image is {measured}; each side must have at least {limits.min_side_px} px."
            return failed(self.name, measured, limit, "image_too_small", message)
        if max(header.width, header.height) > limits.max_side_px:
            message = f"The image is {measured}; no side may exceed {limits.max_side_px} px."
            return failed(self.name, measured, limit, "image_too_large", message)
        return passed(self.name, measured, limit)


class MegapixelsCheck:
    """Pixels of all frames together."""

    name: ClassVar[str] = "megapixels"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Multiply."""
        most, megapixels = subject.limits.max_megapixels, subject.header.megapixels
        measured, limit = f"{megapixels:.2f} MP", f"{most:.2f} MP"
        if megapixels > most:
            message = f"The image has {measured}, the limit is {limit}: send a smaller one."
            return failed(self.name, measured, limit, "too_many_pixels", message)
        return passed(self.name, measured, limit)


class MetadataCheck:
    """EXIF, XMP, ICC and the like: all of it is left behind, only orientation and colour are applied."""

    name: ClassVar[str] = "metadata"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Add up sizes and name what is personal."""
        found, most = subject.header.metadata, subject.limits.max_metadata_bytes
        measured, limit = (
            f"{found.size} bytes" + (f" ({found.summary})" if found.summary else ""),
            f"{most} bytes",
        )
        if found.size > most:
            message = (
                f"The file carries {found.size} bytes of metadata, the limit is {most}: save it without."
            )
            return failed(self.name, measured, limit, "metadata_too_large", message)
        message = "removed" if found.size else "none"
        return passed(self.name, measured, limit, message)
