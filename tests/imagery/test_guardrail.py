"""The guardrail: every verdict with its code, whatever is sent."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagery.contracts import JobOptions
from imagery.guardrail import examine
from imagery.settings import Settings

SETTINGS = Settings()


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **save: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, kind, **save)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_each_format_is_admitted_and_cleaned(kind: str) -> None:
    examination = examine(encoded(kind), None, JobOptions(), SETTINGS)
    assert examination.report.admitted, examination.report
    with Image.open(io.BytesIO(examination.clean_png())) as clean:
        assert (clean.size, clean.mode) == ((64, 48), "RGB")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I", "F", "I;16"])
def test_each_pixel_type_becomes_8_bit_colour(mode: str) -> None:
    examination = examine(encoded("TIFF", mode), None, JobOptions(), SETTINGS)
    assert examination.report.admitted, examination.report
    with Image.open(io.BytesIO(examination.clean_png())) as clean:
        assert clean.mode == ("RGBA" if mode in {"LA", "RGBA"} else "RGB")


def test_16_bit_grey_keeps_its_brightness() -> None:
    buffer = io.BytesIO()
    Image.new("I;16", (64, 64), 0x8000).save(buffer, "PNG")
    clean = examine(buffer.getvalue(), None, JobOptions(), SETTINGS).clean_png()
    with Image.open(io.BytesIO(clean)) as image:
        assert image.getpixel((5, 5)) in {(127, 127, 127), (128, 128, 128)}


def test_transparency_is_kept() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    clean = examine(buffer.getvalue(), None, JobOptions(), SETTINGS).clean_png()
    with Image.open(io.BytesIO(clean)) as kept:
        assert kept.getpixel((0, 0))[3] == 0
        assert kept.getpixel((63, 0)) == (255, 0, 0, 255)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", "prompt_empty"),
        ("  ", "prompt_empty"),
        ("x" * 2001, "prompt_too_long"),
        ("a\x00b", "prompt_control_characters"),
    ],
)
def test_a_bad_prompt_is_refused(prompt: str, code: str) -> None:
    report = examine(encoded("PNG"), None, JobOptions(prompt=prompt), SETTINGS).report
    assert (report.admitted, report.code) == (False, code)


def test_a_huge_header_is_refused_before_pixels_are_allocated() -> None:
    data = bytearray(encoded("BMP"))
    data[18:22], data[22:26] = (60000).to_bytes(4, "little"), (60000).to_bytes(4, "little")
    report = examine(bytes(data), None, JobOptions(), SETTINGS).report
    assert not report.admitted
    assert report.code in {"image_too_large", "too_many_pixels"}


def test_every_check_up_to_the_failed_one_is_reported_with_its_value() -> None:
    report = examine(encoded("PNG", size=(16, 200)), None, JobOptions(), SETTINGS).report
    assert [check.name for check in report.checks] == [
        "prompt",
        "file_size",
        "format",
        "declared_type",
        "frames",
        "sides",
    ]
    assert (report.checks[-1].measured, report.checks[-1].limit) == ("16x200 px", "32 to 8192 px")
    assert report.code == "image_too_small"


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    assert not examine(data, None, JobOptions(), SETTINGS).report.admitted


@given(cut=st.integers(0, 2000), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"]))
def test_no_truncation_makes_it_raise(cut: int, kind: str) -> None:
    data = encoded(kind)
    examination = examine(data[:cut], None, JobOptions(), SETTINGS)
    if examination.report.admitted:
        examination.clean_png()


@given(
    flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP"]),
)
def test_no_damage_makes_it_raise(flips: list[tuple[int, int]], kind: str) -> None:
    data = bytearray(encoded(kind))
    for position, value in flips:
        data[position % len(data)] = value
    examination = examine(bytes(data), None, JobOptions(), SETTINGS)
    if examination.report.admitted:
        examination.clean_png()
