"""A mark for people: a few words in a corner of a picture, for those who read no metadata."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

# height of the letters, as a share of the shorter side
_SHARE = 1 / 32
_LEAST_PX = 12.0
# share of the width that the label may take
_WIDEST = 0.9
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_MODES = {"RGB", "RGBA"}


def labelled(png: bytes, text: str) -> bytes:
    """``png`` with ``text`` in its lower right corner, white on black; all other pixels stay.

    ``text``: in ASCII, which is what the font that comes with Pillow has; ``_`` stands for a space. The
    ground is opaque, so that the same label drawn twice looks as drawn once. Raises ``OSError``.
    """
    words, out = text.replace("_", " "), io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        picture = image if image.mode in _MODES else image.convert(_mode(image))
        font, (left, top, right, bottom) = _fitted(words, picture.size)
        pad = max(2, round((bottom - top) / 3))
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        x, y = picture.width - width, picture.height - height
        draw = ImageDraw.Draw(picture)
        draw.rectangle((x, y, picture.width, picture.height), fill=_BLACK)
        draw.text((x + pad - left, y + pad - top), words, font=font, fill=_WHITE)
        picture.save(out, "PNG", compress_level=1, icc_profile=image.info.get("icc_profile"))
    return out.getvalue()


def _mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"


def _fitted(words: str, size: tuple[int, int]) -> tuple[ImageFont.FreeTypeFont, tuple[int, int, int, int]]:
    """A font in which ``words`` fit a picture of this size, and the box around them in pixels."""
    wanted = max(_LEAST_PX, min(size) * _SHARE)
    left, _, right, _ = _box(_font(wanted), words)
    font = _font(max(1.0, wanted * min(1.0, _WIDEST * size[0] / (right - left))))
    return font, _box(font, words)


def _font(height: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(height)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _box(font: ImageFont.FreeTypeFont, words: str) -> tuple[int, int, int, int]:
    left, top, right, bottom = font.getbbox(words)
    return int(left), int(top), int(right), int(bottom)
