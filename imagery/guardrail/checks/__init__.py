"""The checks in order, cheapest first.

All checks of a phase run and are reported. A phase begins only when the phases before it found nothing
to reject: pixels are allocated only where the header is fair, networks run only on what is worth it.
"""

from imagery.guardrail.checks.base import PictureCheck, not_measured
from imagery.guardrail.checks.credentials import CredentialsCheck
from imagery.guardrail.checks.file import DeclaredTypeCheck, FileSizeCheck, FormatCheck, PolyglotCheck
from imagery.guardrail.checks.header import (
    FramesCheck,
    MegapixelsCheck,
    MetadataCheck,
    SidesCheck,
)
from imagery.guardrail.checks.moderation import BlockedPictureCheck, NsfwCheck
from imagery.guardrail.checks.pixels import BlanknessCheck, DecodingCheck, ExposureCheck, SharpnessCheck
from imagery.guardrail.checks.prompt import (
    PROMPT_CHECKS,
    PromptCheck,
)

FILE_SIZE = FileSizeCheck()
PHASES: tuple[tuple[PictureCheck, ...], ...] = (
    (FormatCheck(),),
    (
        DeclaredTypeCheck(),
        PolyglotCheck(),
        FramesCheck(),
        SidesCheck(),
        MegapixelsCheck(),
        MetadataCheck(),
        CredentialsCheck(),
    ),
    (DecodingCheck(),),
    (BlanknessCheck(), ExposureCheck(), SharpnessCheck(), BlockedPictureCheck()),
    (NsfwCheck(),),
)

# of a picture that is about to be delivered: what it shows, not whether a subject can be cut out of it
OUTPUT_PHASES: tuple[tuple[PictureCheck, ...], ...] = (
    (DecodingCheck(),),
    (BlockedPictureCheck(),),
    (NsfwCheck(),),
)

__all__ = [
    "FILE_SIZE",
    "OUTPUT_PHASES",
    "PHASES",
    "PROMPT_CHECKS",
    "PictureCheck",
    "PromptCheck",
    "not_measured",
]
