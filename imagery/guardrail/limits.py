"""What the checks compare with: the part of the settings that the worker process gets to know."""

from __future__ import annotations

from pydantic import ConfigDict

from imagery.contracts import Message
from imagery.settings import Settings

UPSCALE = 4


class PictureLimits(Message):
    """Limits of the guardrail; each is the setting of the same name."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    allowed_formats: tuple[str, ...]
    strict_content_type: bool
    max_upload_bytes: int
    max_megapixels: float
    max_output_megapixels: float
    min_side_px: int
    max_side_px: int
    max_frames: int
    max_compression_ratio: float
    max_metadata_bytes: int
    min_contrast: float
    max_uniform_share: float
    min_sharpness: float
    min_highlight: float
    max_shadow: float
    max_nsfw_score: float
    blocked_picture_hashes: tuple[str, ...]
    blocked_picture_distance: int
    max_prompt_chars: int
    blocked_prompt_words: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> PictureLimits:
        """The limits that ``settings`` hold."""
        return cls.model_validate(settings)

    @property
    def max_input_megapixels(self) -> float:
        """Most megapixels of an input: its own limit, or what may be left after upscaling."""
        return min(self.max_megapixels, self.max_output_megapixels / UPSCALE**2)
