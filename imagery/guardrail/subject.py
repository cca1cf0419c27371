"""What is examined: one file with its header, its pixels and small copies of them, each read once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from imagery.guardrail import collage
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import PictureHeader, contrasting, decode, normalise, read_header

_SMALL_PX = 512
# fine enough for a seam to be one pixel wide, and a horizon seldom
_SEAMS_PX = 1024
CELLS = 8
_STRIP_PX = 64


@dataclass(frozen=True)
class GuardrailSubject:
    """An untrusted file. ``declared_type`` is the content type that its sender declared.

    ``anchors``: certificates of the CAs whose signatures are trusted, as PEM.
    """

    data: bytes
    declared_type: str | None
    limits: PictureLimits
    anchors: str = ""

    @cached_property
    def header(self) -> PictureHeader:
        """The file's header. Raises ``PictureError``."""
        return read_header(self.data, self.limits.allowed_formats)

    @cached_property
    def picture(self) -> Image.Image:
        """The pixels: upright, sRGB, 8 bit RGB or RGBA, without metadata. Raises ``PictureError``.

        A picture of more than ``working_megapixels`` is scaled down to as many.
        """
        decoded = decode(self.data, self.limits.allowed_formats, self.limits.working_megapixels)
        return normalise(decoded)

    @property
    def scaled_from_mp(self) -> float | None:
        """Megapixels of the file. Returns None if the picture has as many. Raises ``PictureError``."""
        own = self.header.width * self.header.height
        whole = self.picture.width * self.picture.height
        return round(own / 1e6, 2) if whole < own else None

    @cached_property
    def small(self) -> Image.Image:
        """An RGB copy of about 512 px, transparent parts over what the rest stands out from."""
        return _opaque(_reduced(self.picture))

    @cached_property
    def parts(self) -> list[Image.Image]:
        """Small copies of the pictures that a collage is put together of, made of all its pixels.

        Empty for a picture without seams.
        """
        whole = self.picture
        seams = _opaque(_reduced(whole, _SEAMS_PX))
        scale = whole.width / seams.width, whole.height / seams.height
        return [
            _opaque(_reduced(whole.crop(_scaled(box, *scale)))) for box in collage.parts(np.asarray(seams))
        ]

    @cached_property
    def busiest(self) -> np.ndarray:
        """The part of the small copy, one of 8 x 8, with the most contrast: (H, W, 3) float32, 0 to 255.

        A ring on white or the moon at night is a small part of its picture, and all that it is about.
        """
        pixels = np.asarray(self.small, dtype=np.float32)
        rows = np.array_split(pixels, min(CELLS, pixels.shape[0]), axis=0)
        cells = (cell for row in rows for cell in np.array_split(row, min(CELLS, row.shape[1]), axis=1))
        return max(cells, key=lambda cell: float(cell.std(axis=(0, 1)).max()))

    @cached_property
    def luminance(self) -> np.ndarray:
        """Luminance of the small copy, (H, W) float32, 0 to 255."""
        return np.asarray(self.small.convert("L"), dtype=np.float32)


def _scaled(box: collage.Box, across: float, down: float) -> collage.Box:
    """``box`` of a reduced copy in the whole picture, without the pixels that it has only in part."""
    left, top, right, bottom = box
    return math.ceil(left * across), math.ceil(top * down), int(right * across), int(bottom * down)


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    alpha = picture.getchannel("A")
    backdrop = Image.new("RGB", picture.size, contrasting(picture.convert("RGB"), alpha))
    backdrop.paste(picture, mask=alpha)
    return backdrop


def _reduced(picture: Image.Image, longest: int = _SMALL_PX) -> Image.Image:
    """A copy, ``longest`` px at the longest side or 64 px at the shortest if that is more; never larger."""
    scale = min(1.0, max(longest / max(picture.size), _STRIP_PX / min(picture.size)))
    if scale >= 1.0:
        return picture.copy()
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
