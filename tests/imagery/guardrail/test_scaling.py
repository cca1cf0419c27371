"""Photos of more pixels than can be upscaled are scaled down, of every kind, and say so."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from imagery.contracts import JobOptions
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.subject import GuardrailSubject
from imagery.settings import Settings
from testbed.pictures import encoded, picture
from tests.imagery.guardrail.conftest import Make

# of 600 x 400 pixels, a half of both sides is left
SMALL = PictureLimits.of(Settings()).model_copy(update={"max_output_megapixels": 0.06 * 16})


def saved(image: Image.Image, kind: str, **more: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return saved(picture(600, 400), "JPEG", exif=exif.tobytes(), quality=95)


def cutout(mode: str = "RGBA") -> Image.Image:
    """A red disc on a transparent ground whose hidden colour is green."""
    rows, columns = np.mgrid[0:400, 0:600]
    disc = ((rows - 200) ** 2 + (columns - 300) ** 2) < 150**2
    pixels = np.where(disc[..., None], (200, 30, 30, 255), (0, 255, 0, 0)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def keyed() -> bytes:
    """A PNG that says which colour is transparent."""
    image = Image.new("RGB", (600, 400), (255, 0, 255))
    image.paste(picture(300, 200), (150, 100))
    return saved(image, "PNG", transparency=(255, 0, 255))


def grey_of_16_bits() -> bytes:
    return saved(Image.fromarray(np.asarray(picture(600, 400).convert("L")).astype(np.uint16) * 257), "PNG")


@pytest.mark.parametrize(
    ("data", "size", "mode"),
    [
        (lambda: encoded("JPEG", size=(600, 400)), (300, 200), "RGB"),
        (lambda: encoded("JPEG", size=(601, 401)), (299, 200), "RGB"),
        (turned, (200, 300), "RGB"),
        (lambda: encoded("JPEG", "CMYK", (600, 400)), (300, 200), "RGB"),
        (lambda: encoded("PNG", "L", (600, 400)), (300, 200), "RGB"),
        (lambda: encoded("PNG", "P", (600, 400)), (300, 200), "RGB"),
        (
            lambda: saved(picture(600, 400, "L").point(lambda v: 255 * (v > 120)).convert("1"), "PNG"),
            (300, 200),
            "RGB",
        ),
        (grey_of_16_bits, (300, 200), "RGB"),
        (keyed, (300, 200), "RGBA"),
        (lambda: saved(cutout(), "PNG"), (300, 200), "RGBA"),
        (lambda: saved(cutout(), "WEBP", lossless=True, exact=True), (300, 200), "RGBA"),
        (lambda: saved(cutout().quantize(16), "PNG"), (300, 200), "RGBA"),
        (lambda: encoded("TIFF", size=(600, 400), compression="tiff_lzw"), (300, 200), "RGB"),
        (lambda: encoded("AVIF", size=(600, 400)), (300, 200), "RGB"),
        (lambda: encoded("HEIF", size=(600, 400)), (300, 200), "RGB"),
        (lambda: encoded("BMP", size=(600, 400)), (300, 200), "RGB"),
    ],
)
def test_a_large_picture_of_any_kind_is_scaled_down(
    data: Callable[[], bytes], size: tuple[int, int], mode: str
) -> None:
    subject = GuardrailSubject(data(), None, SMALL)
    shown = subject.picture
    assert (shown.size, shown.mode) == (size, mode)
    assert subject.scaled_from_mp == pytest.approx(0.24, abs=0.01)
    whole = GuardrailSubject(subject.data, None, PictureLimits.of(Settings())).picture
    expected = np.asarray(whole.convert("RGBA").resize(size, Image.Resampling.BOX), dtype=np.float32)
    found = np.asarray(shown.convert("RGBA"), dtype=np.float32)
    seen = expected[..., 3:] / 255
    assert float((np.abs(found - expected)[..., :3] * seen).mean()) < 6, "the same picture, the right way up"


def test_a_hidden_colour_does_not_bleed_into_what_is_seen() -> None:
    shown = np.asarray(GuardrailSubject(saved(cutout(), "PNG"), None, SMALL).picture)
    visible = shown[shown[..., 3] > 64]
    assert visible[:, 1].max() < 60, "the green behind the edge"


def test_a_picture_that_fits_is_taken_as_it_is() -> None:
    limits = SMALL.model_copy(update={"max_output_megapixels": 0.24 * 16})
    subject = GuardrailSubject(encoded("PNG", size=(600, 400)), None, limits)
    assert (subject.picture.size, subject.scaled_from_mp) == ((600, 400), None)
    assert subject.picture.tobytes() == picture(600, 400).tobytes()


@pytest.mark.slow
def test_a_photo_of_24_mp_is_admitted_and_told_with_its_size(make: Make) -> None:
    buffer = io.BytesIO()
    picture(1500, 1000).resize((6000, 4000)).save(buffer, "JPEG", quality=90)
    found = make().examine(buffer.getvalue(), None, JobOptions(), picture=True)
    report = found.report
    assert (report.code, report.width, report.height, report.scaled_from_mp) == (None, 6000, 4000, 24.0)
    assert next(each for each in report.checks if each.name == "decodes").message == "scaled from 24.0 MP"
    assert found.picture is not None
    with Image.open(io.BytesIO(found.picture)) as clean:
        assert clean.size == (4330, 2886)
