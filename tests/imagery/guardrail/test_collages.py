"""Collages are judged by their parts, and a single photograph never is."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from imagery.contracts import CheckResult
from imagery.guardrail import collage
from imagery.guardrail.checks import moderation
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.subject import GuardrailSubject
from imagery.settings import Settings
from testbed.pictures import SAMPLE

_LIMITS = PictureLimits.of(Settings())
Score = Callable[[Image.Image], float]


class FakeClassifier:
    """Scores by a function, without the network."""

    def __init__(self, score: Score) -> None:
        self.score = score


def photograph(seed: int, width: int, height: int) -> Image.Image:
    """Smooth shapes of many sizes in colour, as in a photograph: something else for each seed."""
    noise = np.random.default_rng(seed)
    made = np.full((height, width, 3), 128.0)
    for cells, contrast in ((9, 190), (20, 40), (60, 6)):
        coarse = Image.fromarray(noise.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        fine = coarse.resize((width, height), Image.Resampling.BICUBIC)
        made += (np.asarray(fine, dtype=np.float32) - 128) / 64 * contrast
    return Image.fromarray(np.clip(made, 0, 255).astype(np.uint8))


def sheet(columns: list[int], rows: list[int], gutter: int = 0, frame: int = 0) -> Image.Image:
    """Photographs side by side, saved as a JPEG once."""
    width = sum(columns) + gutter * (len(columns) - 1) + 2 * frame
    height = sum(rows) + gutter * (len(rows) - 1) + 2 * frame
    made = Image.new("RGB", (width, height), "white")
    top = frame
    for row, tall in enumerate(rows):
        left = frame
        for column, wide in enumerate(columns):
            made.paste(photograph(row * len(columns) + column, wide, tall), (left, top))
            left += wide + gutter
        top += tall + gutter
    return as_jpeg(made)


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return Image.open(buffer).convert("RGB")


def judged(
    image: Image.Image, score: Score, monkeypatch: pytest.MonkeyPatch, most: float = 0.8
) -> CheckResult:
    monkeypatch.setattr(moderation, "classifier", lambda: FakeClassifier(score))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    limits = _LIMITS.model_copy(update={"max_nsfw_score": most})
    return moderation.NsfwCheck().run(GuardrailSubject(buffer.getvalue(), None, limits))


def high_as_a_whole(image: Image.Image) -> float:
    """0.87 for a picture of the whole sheet, 0.12 for what is smaller."""
    return 0.87 if max(image.size) > 450 else 0.12


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ([400, 400], [320, 320]),
        ([320, 320, 320], [260, 260, 260]),
        ([300, 620], [460, 280]),
        ([400, 400], [500]),
    ],
    ids=["2x2", "3x3", "uneven", "pair"],
)
@pytest.mark.parametrize(("gutter", "frame"), [(0, 0), (3, 0), (12, 12)], ids=["bare", "thin", "framed"])
def test_the_parts_of_a_collage_are_found_where_they_are(
    columns: list[int], rows: list[int], gutter: int, frame: int
) -> None:
    found = sorted(collage.parts(np.asarray(sheet(columns, rows, gutter, frame))), key=in_reading_order)
    expected = [
        (left, top, left + wide, top + tall)
        for top, tall in starts(rows, gutter, frame)
        for left, wide in starts(columns, gutter, frame)
    ]
    assert len(found) == len(expected)
    assert (
        max(
            abs(a - b)
            for one, other in zip(found, expected, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        <= 3
    )


def in_reading_order(box: collage.Box) -> tuple[int, int]:
    return round(box[1] / 100), box[0]


def starts(sides: list[int], gutter: int, frame: int) -> list[tuple[int, int]]:
    return [(frame + sum(sides[:at]) + gutter * at, side) for at, side in enumerate(sides)]


def sea(sky: tuple[int, int, int], water: tuple[int, int, int]) -> Image.Image:
    """A level and sharp horizon with a boat before it."""
    noise = np.random.default_rng(5).normal(0, 5, (600, 900, 3))
    pixels = np.where(np.arange(600)[:, None, None] < 250, sky, water) + noise
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    ImageDraw.Draw(image).polygon([(400, 270), (500, 270), (450, 120)], fill=(240, 240, 230))
    return image


def room() -> Image.Image:
    """The edge of a wall before a lighter room with a darker cupboard."""
    noise = np.random.default_rng(6).normal(0, 4, (600, 900, 3))
    pixels = np.full((600, 900, 3), 150.0) + np.linspace(-30, 30, 600)[:, None, None]
    pixels[:350, 500:], pixels[350:, 500:] = 215.0, 70.0
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def with_inset() -> Image.Image:
    """A photograph with another one pasted over a part of it: no line crosses the whole."""
    image = photograph(2, 900, 600)
    image.paste(photograph(3, 300, 400), (450, 0))
    return image


def with_lines(width: int, colour: str) -> Image.Image:
    """One photograph with a cross drawn over it."""
    image = photograph(0, 900, 600)
    draw = ImageDraw.Draw(image)
    draw.rectangle((450, 0, 449 + width, 600), fill=colour)
    draw.rectangle((0, 300, 900, 299 + width), fill=colour)
    return image


@pytest.mark.parametrize(
    "image",
    [
        photograph(0, 900, 600),
        Image.open(SAMPLE).convert("RGB"),
        sea((200, 210, 230), (40, 70, 90)),
        sea((200, 90, 60), (150, 60, 80)),
        room(),
        with_inset(),
        ImageOps.expand(photograph(1, 900, 600), 30, "white"),
        with_lines(2, "white"),
        with_lines(6, "black"),
        with_lines(20, "white"),
        Image.new("RGB", (600, 400), "white"),
        photograph(0, 33, 33),
    ],
    ids=[
        "photograph",
        "coffee",
        "horizon",
        "sunset",
        "room",
        "inset",
        "frame",
        "lines",
        "black lines",
        "bars",
        "plain",
        "tiny",
    ],
)
def test_a_single_photograph_has_no_parts(image: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collage.parts(np.asarray(as_jpeg(image))) == []
    result = judged(as_jpeg(image), lambda _: 0.95, monkeypatch)
    assert (result.code, result.measured) == ("nsfw_image", "0.950")


def test_a_collage_of_harmless_parts_is_admitted_with_both_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged(sheet([300, 300, 300], [220, 220]), high_as_a_whole, monkeypatch)
    assert result.passed, result
    assert result.measured == "0.870 as a whole, at most 0.120 in 6 parts"


def test_a_collage_with_one_explicit_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sheet([300, 300], [220, 220])
    made.paste((0, 255, 0), (340, 260, 560, 400))
    made = as_jpeg(made)

    def score(image: Image.Image) -> float:
        red, green, _ = np.asarray(image)[image.height // 2, image.width // 2]
        return 0.99 if green > 230 and red < 25 else high_as_a_whole(image)

    result = judged(made, score, monkeypatch)
    assert (result.code, result.measured) == ("nsfw_image", "0.870 as a whole, 0.990 in one of its parts")


def test_the_parts_are_made_of_all_pixels_and_not_of_the_small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def score(image: Image.Image) -> float:
        sizes.append(image.size)
        return 0.1 if len(sizes) > 1 else 0.9

    assert judged(sheet([700, 700, 700], [600, 600]), score, monkeypatch).passed
    assert len(sizes) == 7
    assert all(max(size) == 512 for size in sizes)


def test_a_score_below_the_limit_is_not_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Image.Image] = []

    def score(image: Image.Image) -> float:
        seen.append(image)
        return 0.3

    assert judged(sheet([400, 400], [320, 320]), score, monkeypatch).message == "ok"
    assert len(seen) == 1


def test_a_sheet_of_many_pictures_has_at_most_16_parts() -> None:
    assert len(collage.parts(np.asarray(sheet([320] * 5, [260] * 5, gutter=4)))) == collage.MOST_PARTS


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.75, "0.75 is just below the limit of 0.8 (max_nsfw_score in PICTURE_LIMITS)"),
        (0.65, "ok"),
        (0.83, "may be sexually explicit: 0.83, just above the limit of 0.8. If it is not, "),
        (0.95, "looks sexually explicit"),
    ],
)
def test_a_borderline_score_is_told_as_such(
    score: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = judged(photograph(0, 300, 200), lambda _: score, monkeypatch)
    assert result.passed is (score < 0.8)
    assert words in result.message
    assert ("PICTURE_LIMITS" in result.message) is (abs(score - 0.8) < 0.1)
