"""What is examined: one file with its header, its pixels and small copies of them, each read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import PictureHeader, decode, normalise, read_header

_SMALL_PX = 512
_BACKDROP = (128, 128, 128)


@dataclass(frozen=True)
class GuardrailSubject:
    """An untrusted file. ``declared_type`` is the content type that its sender declared."""

    data: bytes
    declared_type: str | None
    limits: PictureLimits

    @cached_property
    def header(self) -> PictureHeader:
        """The file's header. Raises ``PictureError``."""
        return read_header(self.data, self.limits.allowed_formats)

    @cached_property
    def picture(self) -> Image.Image:
        """Every pixel: upright, sRGB, 8 bit RGB or RGBA, without metadata. Raises ``PictureError``."""
        return normalise(decode(self.data, self.limits.allowed_formats))

    @cached_property
    def small(self) -> Image.Image:
        """An RGB copy of at most 512 px a side, transparent parts over grey; smaller pictures as they are."""
        small = self.picture.copy() if max(self.picture.size) <= _SMALL_PX else _reduced(self.picture)
        if small.mode != "RGBA":
            return small
        backdrop = Image.new("RGB", small.size, _BACKDROP)
        backdrop.paste(small, mask=small.getchannel("A"))
        return backdrop

    @cached_property
    def luminance(self) -> np.ndarray:
        """Luminance of the small copy, (H, W) float32, 0 to 255."""
        return np.asarray(self.small.convert("L"), dtype=np.float32)


def _reduced(picture: Image.Image) -> Image.Image:
    scale = _SMALL_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
