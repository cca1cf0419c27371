"""The checks in order, cheapest first.

All checks of a phase run and are reported. A phase begins only when the phases before it found nothing
to reject: pixels are allocated only where the header is fair, networks run only on what is worth it.
"""

from imagery.guardrail.checks.base import Check, not_measured
from imagery.guardrail.checks.file import DeclaredType, FileSize, Format, Polyglot
from imagery.guardrail.checks.header import Compression, Frames, Megapixels, Metadata, Sides
from imagery.guardrail.checks.moderation import BlockedPicture, Nsfw
from imagery.guardrail.checks.pixels import Blankness, Decodes, Exposure, Sharpness
from imagery.guardrail.checks.prompt import (
    PROMPT_CHECKS,
    PromptCheck,
)

FILE_SIZE = FileSize()
PHASES: tuple[tuple[Check, ...], ...] = (
    (Format(),),
    (DeclaredType(), Polyglot(), Frames(), Sides(), Megapixels(), Compression(), Metadata()),
    (Decodes(),),
    (Blankness(), Exposure(), Sharpness(), BlockedPicture()),
    (Nsfw(),),
)

__all__ = ["FILE_SIZE", "PHASES", "PROMPT_CHECKS", "Check", "PromptCheck", "not_measured"]
