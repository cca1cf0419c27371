"""Files that viewers show and a strict reader stumbles over, and pictures that are mostly nothing."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, TiffImagePlugin

from imagery.guardrail.checks import PHASES
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import decode, normalise, read_header
from imagery.guardrail.structure import beside_pixels
from imagery.guardrail.subject import GuardrailSubject
from imagery.settings import Settings
from testbed.pictures import encoded, picture

_LIMITS = PictureLimits.of(Settings()).model_copy(update={"max_nsfw_score": 1.0})
_MARKUP = b"<svg onload=1>"


def code_of(data: bytes) -> str | None:
    """The reason for which the checks reject a file, None if they admit it."""
    subject = GuardrailSubject(data, None, _LIMITS)
    for phase in PHASES:
        results = [check.run(subject) for check in phase]
        if (found := next((each.code for each in results if each.passed is False), None)) is not None:
            return found
    return None


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return len(data).to_bytes(4) + kind + data + checksum.to_bytes(4)


def with_chunk(png: bytes, added: bytes) -> bytes:
    """``png`` with a chunk behind its header."""
    return png[:33] + added + png[33:]


def grain(width: int = 160, height: int = 120) -> Image.Image:
    """Something with an edge everywhere."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_only_what_stands_beside_the_pixels_is_searched(kind: str) -> None:
    data = saved(grain(), kind)
    header = read_header(data)
    parts = beside_pixels(data, header.format, header.pixel_spans)
    assert sum(map(len, parts)) < len(data) / 4
    behind = beside_pixels(data + _MARKUP, header.format, header.pixel_spans)
    assert any(_MARKUP in part for part in behind)


def test_a_word_in_compressed_pixels_is_no_page() -> None:
    rows = b"".join(bytes(1) + (_MARKUP * 20)[: 90 * 3] for _ in range(90))
    header = (90).to_bytes(4) + (90).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(rows, 0))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
    assert _MARKUP in data
    assert code_of(data) is None
    assert code_of(with_chunk(data, chunk(b"tEXt", b"Title\0" + _MARKUP))) == "polyglot_file"


def test_progressive_scans_with_restarts_are_followed_to_their_end() -> None:
    data = saved(grain(), "JPEG", progressive=True, restart_marker_rows=1)
    assert sum(map(len, beside_pixels(data, "JPEG"))) < len(data) / 4


def test_a_wrong_checksum_of_what_no_viewer_needs_is_no_damage() -> None:
    png = encoded("PNG")
    assert code_of(with_chunk(png, chunk(b"pHYs", bytes(9), crc=1))) is None
    assert code_of(with_chunk(png, chunk(b"PLTE", bytes(9), crc=1))) == "damaged_image"


def test_a_short_jfif_segment_is_no_damage() -> None:
    jpeg = encoded("JPEG")
    assert jpeg[2:4] == b"\xff\xe0"
    length = int.from_bytes(jpeg[4:6])
    short = jpeg[:2] + b"\xff\xe0\x00\x07JFIF\0" + jpeg[4 + length :]
    assert code_of(short) is None


@pytest.mark.parametrize("most", [1.0, 1.02, 40.0])
def test_floats_above_one_are_highlights(most: float) -> None:
    """Half of a percent of the pixels lie above 1: the others show what they show without them."""
    values = np.asarray(picture(160, 120).convert("L"), dtype=np.float32) / 255.0
    values[:1, :80] = most
    clean = np.asarray(
        normalise(decode(saved(Image.fromarray(values), "TIFF"))).convert("L"), dtype=np.float32
    )
    assert np.abs(clean[5:] - values[5:] * 255).max() <= 1.5


def test_an_empty_fourth_byte_of_a_bmp_is_no_transparency() -> None:
    rgba = grain().convert("RGBA")
    rgba.putalpha(0)
    # the fourth byte is an alpha only in files that name its mask
    pixels = rgba.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    info = (108).to_bytes(4, "little") + (160).to_bytes(4, "little") + (120).to_bytes(4, "little")
    info += (1).to_bytes(2, "little") + (32).to_bytes(2, "little") + (3).to_bytes(4, "little") + bytes(20)
    info += masks + b" niW" + bytes(48)
    head = b"BM" + (14 + 108 + len(pixels)).to_bytes(4, "little") + bytes(4) + (122).to_bytes(4, "little")
    clean = normalise(decode(head + info + pixels))
    assert (clean.mode, clean.getpixel((3, 4))) == ("RGBA", (*grain().getpixel((3, 4)), 255))  # type: ignore[misc]


@pytest.mark.parametrize("is_first", [True, False])
def test_of_a_tiff_with_a_preview_the_picture_is_taken(is_first: bool) -> None:
    main, small = grain(600, 400), grain(160, 107)
    pages = [small, main] if is_first else [main, small]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    header = read_header(data)
    assert (header.frames, header.width, header.height) == (1, 600, 400)
    assert normalise(decode(data)).size == (600, 400)


def test_a_preview_behind_it_does_not_hide_how_large_a_tiff_is() -> None:
    main, small = Image.new("L", (9000, 6000)), Image.new("L", (900, 600))
    data = saved(main, "TIFF", save_all=True, append_images=[small], compression="tiff_lzw")
    assert code_of(data) == "too_many_pixels"


def test_a_page_that_is_marked_as_a_preview_is_one_whatever_its_shape() -> None:
    small = grain(300, 390)
    small.encoderinfo = {"tiffinfo": {254: 1}}
    data = saved(grain(600, 400), "TIFF", save_all=True, append_images=[small])
    assert read_header(data).frames == 1


def test_pages_that_are_pictures_of_their_own_are_still_two() -> None:
    data = saved(grain(600, 400), "TIFF", save_all=True, append_images=[grain(500, 500)])
    assert code_of(data) == "too_many_frames"


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_shade_of_narrow_grey_is_the_one_that_is_named(bits: int) -> None:
    most = 2**bits - 1
    row = bytes([0]) + bytes([0b00011011] * 16 if bits == 2 else [0x0F] * 32)
    header = (64).to_bytes(4) + (64).to_bytes(4) + bytes([bits, 0, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", most.to_bytes(2))
    data += chunk(b"IDAT", zlib.compress(row * 64)) + chunk(b"IEND", b"")
    clean = np.asarray(normalise(decode(data)))
    transparent = clean[..., 3] == 0
    share = 1 / 4 if bits == 2 else 1 / 2
    assert transparent.mean() == share
    assert clean[0, 0, 3] == 255


def test_deep_separate_planes_are_refused_and_not_taken_for_noise() -> None:
    info = {258: (16, 16, 16), 277: 3, 284: 2}
    data = saved(Image.fromarray(np.zeros((64, 64), dtype=np.uint16)), "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        tags = dict(image.tag_v2)  # type: ignore[attr-defined]
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {**tags, **info}.items():
        directory[tag] = value
    directory[262], directory[273], directory[279] = 2, (8, 8, 8), (8192, 8192, 8192)
    body = io.BytesIO()
    body.write(b"II*\0" + (8 + 3 * 8192).to_bytes(4, "little") + bytes(3 * 8192))
    body.write(directory.tobytes(8 + 3 * 8192))
    assert code_of(body.getvalue()) == "unsupported_image_type"


def drawn(background: int, shade: int, line: bool = False) -> Image.Image:
    """A small ring, or a signature, on a plain ground."""
    image = Image.new("RGB", (1200, 900), (background,) * 3)
    draw = ImageDraw.Draw(image)
    if line:
        points = [(500 + 4 * x, 450 + int(40 * np.sin(x / 3))) for x in range(50)]
        draw.line(points, fill=(shade,) * 3, width=5)
    else:
        draw.ellipse((560, 410, 640, 490), outline=(shade,) * 3, width=8)
    return image


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (drawn(255, 60), None),
        (drawn(255, 20, line=True), None),
        (drawn(4, 230), None),
        (drawn(6, 60), None),
        (drawn(252, 200), None),
        (drawn(255, 255), "blank_image"),
        (grain(4096, 64), None),
        (grain(64, 4096), None),
        (Image.new("RGB", (4096, 64), (90, 90, 90)), "blank_image"),
        (drawn(128, 30).filter(ImageFilter.GaussianBlur(30)), "too_blurry"),
    ],
    ids=[
        "ring",
        "signature",
        "moon",
        "dark on black",
        "light on white",
        "nothing",
        "strip",
        "pole",
        "plain",
        "fog",
    ],
)
def test_a_small_subject_is_judged_by_itself(image: Image.Image, code: str | None) -> None:
    assert code_of(saved(image, "PNG")) == code


@pytest.mark.parametrize("hidden", [0, 128, 255])
@pytest.mark.parametrize("shade", [0, 60, 128, 200, 255])
def test_a_logo_on_transparency_passes_whatever_is_hidden(shade: int, hidden: int) -> None:
    logo = Image.new("RGBA", (400, 400), (hidden, hidden, hidden, 0))
    ImageDraw.Draw(logo).polygon([(200, 60), (340, 320), (60, 320)], fill=(shade, shade, shade, 255))
    assert code_of(saved(logo, "PNG")) is None
    clean = np.asarray(normalise(decode(saved(logo, "PNG"))))
    unseen = clean[clean[..., 3] == 0][:, :3]
    assert len({tuple(each) for each in unseen}) == 1
    assert abs(int(unseen[0][0]) - shade) >= 127, "no network sees the hidden colour, and each sees the logo"


def test_a_picture_that_is_wholly_transparent_is_blank() -> None:
    rgba = grain().convert("RGBA")
    rgba.putalpha(0)
    assert code_of(saved(rgba, "PNG")) == "blank_image"
