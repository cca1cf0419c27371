"""The word SIMULATED in a corner of every picture, so that nobody takes one for the paid model's."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

WORD = "SIMULATED"
# height of the letters as a share of the picture's side, were it a square
_SHARE = 0.032


def mark(picture: Image.Image) -> None:
    """Draw it into the lower right corner: white on a dark plate with a bright rim, which no scene hides."""
    plate = _plate(max(10, round((picture.width * picture.height) ** 0.5 * _SHARE)))
    gap = plate.height // 3
    picture.paste(plate, (picture.width - plate.width - gap, picture.height - plate.height - gap), plate)


@lru_cache(maxsize=8)
def _plate(letters: int) -> Image.Image:
    font = ImageFont.load_default(letters)
    left, top, right, bottom = font.getbbox(WORD)
    pad = letters * 0.5
    plate = Image.new("RGBA", (round(right - left + 2 * pad), round(bottom - top + 1.6 * pad)))
    draw = ImageDraw.Draw(plate)
    rim = max(1, letters // 16)
    draw.rounded_rectangle(
        (0, 0, plate.width - 1, plate.height - 1),
        radius=letters * 0.3,
        fill=(16, 16, 18, 205),
        outline=(255, 255, 255, 235),
        width=rim,
    )
    draw.text((pad - left, 0.8 * pad - top), WORD, font=font, fill=(255, 255, 255, 255), stroke_width=rim / 3)
    return plate
