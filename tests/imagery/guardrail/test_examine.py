"""The examination: every verdict with its code, whatever is sent, and a clean copy of what is admitted."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from imagery.contracts import CheckResult, JobOptions
from imagery.guardrail.examine import Examination, Guardrail
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.subject import GuardrailSubject
from imagery.guardrail.worker import run_checks
from imagery.settings import Settings
from testbed.pictures import encoded, picture
from tests.imagery.guardrail.conftest import Make

LIMITS = PictureLimits.of(Settings())


def run(guardrail: Guardrail, data: bytes, declared: str | None = None, prompt: str = "x") -> Examination:
    return guardrail.examine(data, declared, JobOptions(prompt=prompt), picture=True)


def clean(guardrail: Guardrail, data: bytes) -> Image.Image:
    examination = run(guardrail, data)
    assert examination.report.admitted, examination.report
    assert examination.picture is not None
    return Image.open(io.BytesIO(examination.picture))


def check(examination: Examination, name: str) -> CheckResult:
    return next(each for each in examination.report.checks if each.name == name)


def heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture(64, 48)).save(buffer, quality=80)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "HEIF"])
def test_each_format_is_admitted_and_cleaned(guardrail: Guardrail, kind: str) -> None:
    data = heic() if kind == "HEIF" else encoded(kind)
    with clean(guardrail, data) as image:
        assert (image.size, image.mode, image.format) == ((64, 48), "RGB", "PNG")
    report = run(guardrail, data).report
    assert (report.width, report.height) == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I", "F", "I;16"])
def test_each_pixel_type_becomes_8_bit_colour(guardrail: Guardrail, mode: str) -> None:
    image = picture(64, 48, "L").convert("I" if mode == "I;16" else mode)
    if mode in {"I", "I;16"}:
        image = image.point(lambda v: v * 256).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    with clean(guardrail, buffer.getvalue()) as made:
        assert made.mode == ("RGBA" if mode in {"LA", "RGBA"} else "RGB")
        assert np.asarray(made)[..., 0].max() > 150


def test_16_bit_grey_keeps_its_brightness(guardrail: Guardrail) -> None:
    wide = picture(64, 64, "L").convert("I").point(lambda v: v * 257).convert("I;16")
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    with clean(guardrail, buffer.getvalue()) as image:
        made = image.getchannel("R").tobytes()
    expected = picture(64, 64, "L").tobytes()
    assert max(abs(a - b) for a, b in zip(made, expected, strict=True)) <= 1


def test_transparency_is_kept(guardrail: Guardrail) -> None:
    image = picture(64, 64, "RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with clean(guardrail, buffer.getvalue()) as kept:
        assert kept.getchannel("A").getpixel((0, 0)) == 0
        assert kept.getpixel((63, 0)) == image.getpixel((63, 0))


def private_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x013B] = 6, "taken at home", "Jane Doe"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 8.0, 1.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded("JPEG", size=(90, 60), exif=exif, icc_profile=profile, comment=b"a secret comment")


def test_nothing_personal_is_left_in_the_clean_copy(guardrail: Guardrail) -> None:
    examination = run(guardrail, private_jpeg())
    measured = check(examination, "metadata").measured
    assert "EXIF with GPS position" in measured
    assert "ICC" in measured
    data = examination.picture or b""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (60, 90), "the orientation is applied"
        assert not image.getexif()
        assert image.info == {}
    assert {data[at + 4 : at + 8] for at in chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}


def chunks(data: bytes) -> list[int]:
    found, at = [], 8
    while at < len(data):
        found.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return found


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_broken_metadata_is_dropped_not_rejected(guardrail: Guardrail, kind: str) -> None:
    data = (
        encoded(kind, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 60)
        if kind != "TIFF"
        else encoded(kind, icc_profile=b"no profile at all" * 9)
    )
    with clean(guardrail, data) as image:
        assert image.info == {}


def test_a_check_that_was_not_needed_says_so(guardrail: Guardrail) -> None:
    examination = run(guardrail, encoded("PNG", size=(16, 200)))
    report = examination.report
    assert report.code == "image_too_small"
    assert check(examination, "sides").measured == "16x200 px"
    assert check(examination, "sides").limit == "32 to 12288 px"
    assert check(examination, "frames").passed is True, "checks of the same phase are all reported"
    assert check(examination, "decodes").passed is None
    assert check(examination, "nsfw").passed is None
    names = [each.name for each in run(guardrail, encoded()).report.checks]
    assert [each.name for each in report.checks] == names, "every report has every check"


def test_every_fault_that_can_be_seen_at_once_is_reported(guardrail: Guardrail) -> None:
    data = encoded("PNG", size=(16, 9000))
    examination = run(guardrail, data, "text/html", prompt="")
    failed = {each.name for each in examination.report.checks if each.passed is False}
    assert failed == {"prompt_length", "declared_type", "sides"}
    assert examination.report.code == "prompt_empty"


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ("image/png", None),
        ("image/jpeg", None),
        ("", None),
        (None, None),
        ("application/octet-stream", None),
        ("text/html", "content_type_mismatch"),
        ("image/svg+xml", "content_type_mismatch"),
        ("application/zip; x=y", "content_type_mismatch"),
    ],
)
def test_the_declared_type_is_compared_with_the_content(
    guardrail: Guardrail, declared: str | None, code: str | None
) -> None:
    assert run(guardrail, encoded("PNG"), declared).report.code == code


def test_strict_types_reject_another_image_type(make: Make) -> None:
    strict = make(PICTURE_LIMITS="strict_type=true")
    assert run(strict, encoded("PNG"), "image/jpeg").report.code == "content_type_mismatch"
    assert run(strict, encoded("PNG"), "image/png").report.admitted


def test_formats_can_be_switched_off(make: Make) -> None:
    examination = run(make(PICTURE_LIMITS="formats=png,webp"), encoded("JPEG"))
    assert examination.report.code == "unsupported_image_type"
    assert check(examination, "format").limit == "PNG, WEBP"
    assert "It is JPEG" in examination.report.message


@given(st.binary(max_size=400))
def test_no_bytes_make_a_check_raise(data: bytes) -> None:
    assert run_checks(GuardrailSubject(data, None, LIMITS))[1] is not None


@given(cut=st.integers(0, 6000), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"]))
@settings(deadline=None)
def test_no_truncation_makes_a_check_raise(cut: int, kind: str) -> None:
    data = encoded(kind)[:cut]
    results, code = run_checks(GuardrailSubject(data, None, LIMITS))
    assert code is None or any(result.code == code for result in results)


@given(
    flips=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=8),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP"]),
)
@settings(deadline=None)
def test_no_damage_makes_a_check_raise(flips: list[tuple[int, int]], kind: str) -> None:
    data = bytearray(encoded(kind))
    for position, value in flips:
        data[position % len(data)] = value
    run_checks(GuardrailSubject(bytes(data), None, LIMITS))
