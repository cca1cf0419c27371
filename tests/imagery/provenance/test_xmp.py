"""IPTC's source type gets into each format without touching a pixel, and is read from it."""

from __future__ import annotations

import io
from itertools import product

import pytest
from PIL import Image

from imagery.provenance import xmp
from imagery.provenance.manifest import COMPOSITE, ENHANCED
from testbed.credentials import TYPES
from testbed.pictures import encoded, picture


@pytest.mark.parametrize(
    ("kind", "mode"), [*product(TYPES, ("RGB",)), *product(("PNG", "WEBP", "AVIF"), ("RGBA",))]
)
@pytest.mark.parametrize("lossless", [False, True])
def test_another_reader_finds_it_and_the_pixels_stay(kind: str, mode: str, *, lossless: bool) -> None:
    more = {"lossless": True} if lossless and kind == "WEBP" else {}
    picture = encoded(kind, mode, (123, 77), **more)
    marked = xmp.with_source_type(picture, TYPES[kind], COMPOSITE)
    with Image.open(io.BytesIO(picture)) as before, Image.open(io.BytesIO(marked)) as after:
        assert COMPOSITE in str(after.info["xmp"])
        assert (after.mode, after.tobytes()) == (before.mode, before.tobytes())
    assert xmp.source_types(marked) == (COMPOSITE,)


@pytest.mark.parametrize(("mode", "flags"), [("RGB", 0x04), ("RGBA", 0x14)])
def test_a_simple_webp_gets_the_header_that_says_what_it_has(mode: str, flags: int) -> None:
    whole, buffer = picture(123, 77, mode=mode), io.BytesIO()
    if mode == "RGBA":
        whole.putalpha(128)
    whole.save(buffer, "WEBP", lossless=True)
    marked = xmp.with_source_type(buffer.getvalue(), "image/webp", COMPOSITE)
    assert (marked[12:16], marked[20]) == (b"VP8X", flags)
    assert (marked[24:27], marked[27:30]) == ((122).to_bytes(3, "little"), (76).to_bytes(3, "little"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_xmp_that_was_there_is_replaced(kind: str) -> None:
    first = xmp.with_source_type(encoded(kind), TYPES[kind], ENHANCED)
    again = xmp.with_source_type(first, TYPES[kind], COMPOSITE)
    assert xmp.source_types(again) == (COMPOSITE,)
    assert xmp.with_source_type(again, TYPES[kind], COMPOSITE) == again


def test_other_metadata_of_a_jpeg_stays() -> None:
    exif = Image.Exif()
    exif[0x0131] = "program"
    marked = xmp.with_source_type(encoded("JPEG", exif=exif, dpi=(300, 300)), "image/jpeg", COMPOSITE)
    with Image.open(io.BytesIO(marked)) as image:
        assert image.getexif()[0x0131] == "program"
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize("kind", TYPES)
def test_a_file_that_is_cut_off_raises_one_error(kind: str) -> None:
    picture = encoded(kind)
    for size in range(0, len(picture), 7):
        try:
            xmp.with_source_type(picture[:size], TYPES[kind], COMPOSITE)
        except xmp.XmpError:
            continue


def test_nothing_but_a_term_of_iptc_is_written() -> None:
    with pytest.raises(xmp.XmpError, match="no term"):
        xmp.with_source_type(encoded(), "image/png", COMPOSITE + '"/>')


@pytest.mark.parametrize(
    "text",
    [
        f'Iptc4xmpExt:DigitalSourceType="{COMPOSITE}"',
        f"<Iptc4xmpExt:DigitalSourceType>{COMPOSITE}</Iptc4xmpExt:DigitalSourceType>",
        f"<Iptc4xmpExt:DigitalSourceType rdf:resource='{COMPOSITE.replace('http', 'https')}'/>",
    ],
)
def test_each_way_of_writing_it_is_read(text: str) -> None:
    assert xmp.source_types(b"..." + text.encode() + b"...") == (COMPOSITE,)
