"""The image models that are simulated: what each offers, the pixels of its pictures and their tokens.

Pixels: the table "Aspect ratios and image size" of ai.google.dev/gemini-api/docs/image-generation (2026).
Tokens of a picture: docs.cloud.google.com, the page of Gemini 3.1 Flash Image. Thinking levels: the pages of
the models. What the pages don't give for the newest model, its older sibling has lent.
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = ("1K", "2K", "4K")
# width and height in pixels at 1K; 2K and 4K have twice and four times as many on each side
_AT_1K = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
_NARROW_AT_1K = {"1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384)}


@dataclass(frozen=True)
class ImageModel:
    """What a model offers.

    ``thinking``: the levels that a request may ask for, the default first; empty where it can't choose.
    ``picture_tokens``: of a picture that it makes, by size class. ``input_tokens``: of one that it gets.
    """

    thinking: tuple[str, ...]
    picture_tokens: dict[str, int]
    input_tokens: int
    is_narrow: bool = False

    @property
    def ratios(self) -> dict[str, tuple[int, int]]:
        """The aspect ratios that it draws, with the pixels at 1K."""
        return _AT_1K | _NARROW_AT_1K if self.is_narrow else _AT_1K

    def pixels(self, ratio: str, size: str) -> tuple[int, int]:
        """Width and height of a picture. Raises ``KeyError`` if the model does not make such pictures."""
        width, height = self.ratios[ratio]
        factor = 2 ** SIZES.index(size)
        return width * factor, height * factor

    def nearest_ratio(self, width: int, height: int) -> str:
        """The aspect ratio of a picture whose order names none: that of the picture that came."""
        shape = width / height

        def distance(ratio: str) -> float:
            across, down = self.ratios[ratio]
            # as far from twice as wide as from half as wide
            return max(shape * down / across, across / down / shape)

        return min(self.ratios, key=distance)


MODELS = {
    "gemini-nano-banana-2.1": ImageModel(
        thinking=("MEDIUM", "MINIMAL", "HIGH"),
        picture_tokens={"1K": 1120, "2K": 1680, "4K": 2520},
        input_tokens=1120,
        is_narrow=True,
    ),
    "gemini-3.1-flash-image": ImageModel(
        thinking=("MINIMAL", "HIGH"),
        picture_tokens={"1K": 1120, "2K": 1680, "4K": 2520},
        input_tokens=1120,
    ),
    "gemini-3-pro-image": ImageModel(
        thinking=(), picture_tokens={"1K": 1120, "2K": 1120, "4K": 2000}, input_tokens=560
    ),
}
