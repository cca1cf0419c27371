"""The limits of the checks: all that the worker process knows of the settings."""

from __future__ import annotations

from pydantic import ConfigDict

from imagery.contracts import Message
from imagery.settings import Settings

UPSCALE = 4


class PictureLimits(Message):
    """Limits of the guardrail: those of the settings, and constants behind them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    allowed_formats: tuple[str, ...]
    strict_content_type: bool
    max_upload_bytes: int
    max_megapixels: float
    max_output_megapixels: float
    min_side_px: int
    max_side_px: int
    min_sharpness: float
    max_nsfw_score: float
    blocked_picture_hashes: tuple[str, ...]
    blocked_prompt_words: tuple[str, ...]
    refuse_broken: bool = False
    refuse_ai: bool = False
    # frames or pages; only the first one is used
    max_frames: int = 1
    # of EXIF, XMP, ICC and the like, which is never kept
    max_metadata_bytes: int = 4 * 1024 * 1024
    # share of the picture that may have one colour
    max_uniform_share: float = 0.999
    # of the busiest part of the picture: standard deviation of its colours, 0 to 255
    min_contrast: float = 2.0
    # luminance that its brightest percent must reach, and that its darkest one must not exceed, unless these
    # two are so far apart
    min_highlight: float = 24.0
    max_shadow: float = 235.0
    min_range: float = 24.0
    # differing bits up to which a picture counts as a blocked one
    blocked_picture_distance: int = 6
    max_prompt_chars: int = 2000

    @classmethod
    def of(cls, settings: Settings) -> PictureLimits:
        """The limits that ``settings`` hold, and those that are constants."""
        guardrail, picture = settings.guardrail, settings.guardrail.picture
        return cls(
            allowed_formats=picture.formats,
            strict_content_type=picture.strict_type,
            max_upload_bytes=guardrail.max_upload_bytes,
            max_megapixels=picture.max_megapixels,
            max_output_megapixels=picture.max_output_megapixels,
            min_side_px=picture.min_side_px,
            max_side_px=picture.max_side_px,
            min_sharpness=picture.min_sharpness,
            max_nsfw_score=picture.max_nsfw_score,
            blocked_picture_hashes=guardrail.blocked_picture_hashes,
            blocked_prompt_words=guardrail.blocked_prompt_words,
            refuse_broken=picture.refuse_broken,
            refuse_ai=picture.refuse_ai,
        )

    @property
    def working_megapixels(self) -> float:
        """Megapixels that an input is scaled down to: as many as may be upscaled."""
        return min(self.max_megapixels, self.max_output_megapixels / UPSCALE**2)
