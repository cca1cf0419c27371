"""AVIF and HEIC files that show a part of what is coded: cropped exactly, or refused."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from imagery.contracts import JobOptions
from imagery.guardrail.aperture import ApertureError, aperture
from imagery.guardrail.checks import PHASES
from imagery.guardrail.examine import Guardrail
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import PictureError, decode, normalise, read_header
from imagery.guardrail.structure import boxes
from imagery.guardrail.subject import GuardrailSubject
from imagery.settings import Settings

Property = tuple[bytes, bytes]
_WIDTH, _HEIGHT = 96, 64
# quarters anticlockwise, and the axis of a mirror: 0 swaps top and bottom, 1 left and right
_ROTATED: Property = (b"irot", b"\x01")
_MIRRORED: Property = (b"imir", b"\x01")
# steps of 255 that a codec may change
_NEAR = 12


def shown() -> Image.Image:
    """A gradient in each direction, with a pattern: every part of it is another."""
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    checked = (rows // 16 + columns // 16) % 2 * 120
    return Image.fromarray(np.stack([columns * 2, rows * 3, checked], axis=2).astype(np.uint8))


def coded(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "AVIF":
        shown().save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    else:
        pillow_heif.from_pillow(shown()).save(buffer, quality=-1, chroma=444)
    return buffer.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def with_properties(data: bytes, *added: Property) -> bytes:
    """``data`` with more properties of its first item; ``meta`` moves to the end and no offset changes."""
    begin, end = next((begin, end) for kind, begin, end in boxes(data, 0, len(data)) if kind == b"meta")
    meta = data[begin : begin + 4]
    for kind, first, last in boxes(data, begin + 4, end):
        content = data[first:last]
        meta += box(kind, with_more(content, added) if kind == b"iprp" else content)
    return data[: begin - 4] + b"free" + data[begin:] + box(b"meta", meta)


def with_more(properties: bytes, added: tuple[Property, ...]) -> bytes:
    held = {kind: properties[begin:end] for kind, begin, end in boxes(properties, 0, len(properties))}
    known = len(list(boxes(held[b"ipco"], 0, len(held[b"ipco"]))))
    given, count_at = held[b"ipma"], 10
    assert given[:4] == bytes(4), "indices of one byte"
    indices = bytes(0x80 | known + 1 + number for number in range(len(added)))
    count = given[count_at]
    behind = count_at + 1 + count
    given = (
        given[:count_at]
        + bytes([count + len(added)])
        + given[count_at + 1 : behind]
        + indices
        + given[behind:]
    )
    return box(b"ipco", held[b"ipco"] + b"".join(box(*each) for each in added)) + box(b"ipma", given)


def clap(
    width: Fraction | int, height: Fraction | int, left: Fraction | int, top: Fraction | int
) -> Property:
    """A clean aperture by its corner: the property itself counts from the middle."""
    right, down = left + Fraction(width - _WIDTH) / 2, top + Fraction(height - _HEIGHT) / 2
    values = [
        part
        for value in (Fraction(width), Fraction(height), right, down)
        for part in value.as_integer_ratio()
    ]
    return b"clap", struct.pack(">IIIIiIiI", *values)


_BY_ZERO, _SHORT, _EMPTY = (b"clap", bytes(32)), (b"clap", bytes(7)), clap(0, 40, 10, 10)
_NOT_OPENED = {"AVIF": (_SHORT,), "HEIF": (_BY_ZERO, _SHORT, _EMPTY)}


def admitted(data: bytes) -> np.ndarray:
    return np.asarray(normalise(decode(data)).convert("RGB")).astype(int)


def code_of(data: bytes) -> str | None:
    limits = PictureLimits.of(Settings()).model_copy(update={"max_nsfw_score": 1.0})
    subject = GuardrailSubject(data, None, limits)
    for phase in PHASES:
        results = [check.run(subject) for check in phase]
        if (found := next((each.code for each in results if each.passed is False), None)) is not None:
            return found
    return None


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("transforms", [(), (_ROTATED,), (_MIRRORED,), (_ROTATED, _MIRRORED)])
@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"), [(10, 20, 60, 60), (11, 21, 52, 64), (0, 0, 96, 64)]
)
def test_the_crop_comes_before_rotation_and_mirror(
    kind: str, transforms: tuple[Property, ...], left: int, top: int, right: int, bottom: int
) -> None:
    data = with_properties(coded(kind), clap(right - left, bottom - top, left, top), *transforms)
    expected = np.asarray(shown()).astype(int)[top:bottom, left:right]
    if _ROTATED in transforms:
        expected = np.rot90(expected)
    if _MIRRORED in transforms:
        expected = expected[:, ::-1]
    made = admitted(data)
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= _NEAR
    header = read_header(data)
    assert {header.width, header.height} == {right - left, bottom - top}
    assert header.megapixels == _WIDTH * _HEIGHT / 1e6, "what is decoded counts"
    assert code_of(data) is None


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(
    "properties",
    [
        (clap(Fraction(81, 2), 40, 10, 10),),
        (clap(40, 40, Fraction(21, 2), 10),),
        (clap(40, 40, 70, 10),),
        (clap(40, 40, -2, 10),),
        (clap(200, 40, 0, 0),),
        (_EMPTY,),
        (_BY_ZERO,),
        (_SHORT,),
        (_ROTATED, clap(40, 40, 10, 10)),
        (clap(40, 40, 10, 10), clap(20, 20, 5, 5)),
    ],
    ids=["width", "between", "right", "left", "wide", "none", "zero", "short", "turned", "two"],
)
def test_a_crop_that_can_not_be_made_exactly_is_refused(kind: str, properties: tuple[Property, ...]) -> None:
    data = with_properties(coded(kind), *properties)
    # what the decoders themselves do not open
    is_damaged = properties[0] in _NOT_OPENED[kind]
    assert code_of(data) == ("damaged_image" if is_damaged else "unsupported_image_type")


def test_the_clean_copy_and_the_report_have_the_size_of_the_crop(guardrail: Guardrail) -> None:
    data = with_properties(coded("AVIF"), clap(50, 40, 10, 20), _ROTATED)
    examination = guardrail.examine(data, None, JobOptions(), picture=True)
    assert (examination.report.width, examination.report.height) == (50, 40), "as the header has it"
    with Image.open(io.BytesIO(examination.picture or b"")) as clean:
        assert clean.size == (40, 50)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_thumbnail_shows_the_crop(guardrail: Guardrail, kind: str) -> None:
    data = with_properties(coded(kind), clap(60, 40, 10, 10), _ROTATED)
    with Image.open(io.BytesIO(guardrail.thumbnail(data, 20))) as small:
        assert small.size == (20, 30)


def test_a_mirror_before_the_rotation_is_refused_where_the_decoder_would_swap_them() -> None:
    with pytest.raises(PictureError, match="order") as caught:
        read_header(with_properties(coded("AVIF"), _MIRRORED, _ROTATED))
    assert caught.value.code == "unsupported_image_type"
    expected = np.rot90(np.asarray(shown()).astype(int)[:, ::-1])
    assert np.abs(admitted(with_properties(coded("HEIF"), _MIRRORED, _ROTATED)) - expected).max() <= _NEAR


def test_a_crop_that_leaves_too_little_is_too_small() -> None:
    assert code_of(with_properties(coded("AVIF"), clap(20, 20, 4, 4))) == "image_too_small"


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_file_without_a_crop_is_whole(kind: str) -> None:
    data = coded(kind)
    assert aperture(data, kind).crop is None
    assert read_header(data).coded is None
    assert admitted(data).shape == (_HEIGHT, _WIDTH, 3)


def test_a_sequence_with_a_crop_is_refused() -> None:
    data = coded("AVIF") + box(b"moov", box(b"trak", box(*clap(40, 40, 10, 10))))
    with pytest.raises(ApertureError, match="sequence"):
        aperture(data, "AVIF")


def mutations() -> Iterator[bytes]:
    data = with_properties(coded("AVIF"), clap(40, 40, 10, 10))
    begin = data.rindex(b"meta")
    chance = random.Random(1)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(begin, len(data))] = chance.choice((0, 1, 2, 127, 128, 255))
        yield bytes(changed[: chance.randint(begin, len(data))] if chance.random() < 0.3 else changed)


def test_no_damage_raises_anything_else() -> None:
    refused = 0
    for data in mutations():
        try:
            aperture(data, "AVIF")
        except ApertureError:
            refused += 1
    assert refused > 0


def test_a_file_of_boxes_alone_is_refused_soon() -> None:
    with pytest.raises(ApertureError, match="too many boxes"):
        aperture(box(b"free", b"") * 100_000, "AVIF")
