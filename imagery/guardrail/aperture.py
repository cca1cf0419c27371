"""The clean aperture of an AVIF or HEIC: the part of the coded picture that is to be shown.

ISO/IEC 14496-12 defines the property ``clap``, and MIAF (ISO/IEC 23000-22) the order: it is applied before
the rotation ``irot``, and that before the mirror ``imir``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from imagery.guardrail.structure import boxes

# left, top, right, bottom
Box = tuple[int, int, int, int]

_ORDER = (b"clap", b"irot", b"imir")
_CLAP = struct.Struct(">IIIIiIiI")
# far more than any writer makes of one kind
_MOST = 4096
# of the boxes that have them in front of their content
_VERSION_AND_FLAGS = 4


class ApertureError(ValueError):
    """The crop can't be made exactly, or not be told from the file."""


@dataclass(frozen=True)
class Aperture:
    """``coded``: width and height of what is decoded, None if not given. ``crop`` None keeps all of it."""

    coded: tuple[int, int] | None
    crop: Box | None


def aperture(data: bytes, name: str) -> Aperture:
    """The aperture of the primary item of ``data``, an ``AVIF`` or ``HEIF``. Raises ``ApertureError``."""
    properties = _primary_properties(data)
    transforms = [kind for kind, _ in properties if kind in _ORDER]
    # the decoder of HEIC follows any order, but this module could not tell what its crop is a crop of
    is_bound = name == "AVIF" or b"clap" in transforms
    if is_bound and transforms != [kind for kind in _ORDER if kind in transforms]:
        raise ApertureError("the order of crop, rotation and mirror is not the one that MIAF has")
    if _has_track_with_crop(data):
        raise ApertureError("the crop is that of a sequence")
    content = dict(reversed(properties))
    coded = _size(content[b"ispe"]) if b"ispe" in content else None
    if b"clap" not in content:
        return Aperture(coded, None)
    if coded is None:
        raise ApertureError("the size of the picture is not given")
    return Aperture(coded, _crop(content[b"clap"], *coded))


def _crop(content: bytes, width: int, height: int) -> Box:
    if len(content) < _CLAP.size:
        raise ApertureError("the crop is cut off")
    wide, wide_by, tall, tall_by, right, right_by, down, down_by = _CLAP.unpack_from(content)
    if 0 in {wide_by, tall_by, right_by, down_by}:
        raise ApertureError("the crop divides by zero")
    left, behind = _range(width, Fraction(wide, wide_by), Fraction(right, right_by))
    top, below = _range(height, Fraction(tall, tall_by), Fraction(down, down_by))
    return left, top, behind, below


def _range(side: int, length: Fraction, offset: Fraction) -> tuple[int, int]:
    """The pixels of a side that a crop keeps; ``offset`` is that of its middle from the side's."""
    begin = Fraction(side) / 2 + offset - length / 2
    end = begin + length
    if begin.denominator != 1 or end.denominator != 1:
        raise ApertureError("the crop lies between pixels")
    if not 0 <= begin < end <= side:
        raise ApertureError("the crop lies outside of the picture")
    return int(begin), int(end)


def _size(content: bytes) -> tuple[int, int]:
    at = _VERSION_AND_FLAGS
    return int.from_bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + 8])


def _primary_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each property of the primary item, in the order in which they are applied."""
    meta = _children(data, _child(data, (0, len(data)), b"meta"), skipped=_VERSION_AND_FLAGS)
    if b"pitm" not in meta or b"iprp" not in meta:
        return []
    begin, end = meta[b"pitm"]
    primary = data[begin + _VERSION_AND_FLAGS : end]
    item = int.from_bytes(primary[:4] if data[begin : begin + 1] > b"\0" else primary[:2])
    held = _children(data, meta[b"iprp"])
    if b"ipco" not in held or b"ipma" not in held:
        return []
    known = [(kind, data[first:last]) for kind, first, last in _bounded(data, *held[b"ipco"])]
    # an index counts from 1, and 0 is none
    return [known[index - 1] for index in _indices(data, held[b"ipma"], item) if 0 < index <= len(known)]


def _indices(data: bytes, span: tuple[int, int], item: int) -> Iterator[int]:
    """Which properties the box ``ipma`` gives to an item."""
    begin, end = span
    wide_item, wide_index = data[begin : begin + 1] > b"\0", int.from_bytes(data[begin + 1 : begin + 4]) & 1
    at, item_bytes, index_bytes = begin + 8, 4 if wide_item else 2, 2 if wide_index else 1
    mask = 0x7FFF if wide_index else 0x7F
    for _ in range(min(_MOST, int.from_bytes(data[begin + 4 : begin + 8]))):
        if at + item_bytes >= end:
            return
        is_item, count = int.from_bytes(data[at : at + item_bytes]) == item, data[at + item_bytes]
        at += item_bytes + 1
        if is_item:
            yield from (
                int.from_bytes(data[each : each + index_bytes]) & mask
                for each in range(at, min(end, at + count * index_bytes), index_bytes)
            )
        at += count * index_bytes


def _has_track_with_crop(data: bytes) -> bool:
    begin, end = _child(data, (0, len(data)), b"moov")
    return data.find(b"clap", begin, end) >= 0


def _child(data: bytes, span: tuple[int, int], kind: bytes) -> tuple[int, int]:
    return _children(data, span).get(kind, (0, 0))


def _children(data: bytes, span: tuple[int, int], skipped: int = 0) -> dict[bytes, tuple[int, int]]:
    """Where the content of the first box of each kind is."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, begin, end in _bounded(data, span[0] + skipped, span[1]):
        found.setdefault(kind, (begin, end))
    return found


def _bounded(data: bytes, begin: int, end: int) -> list[tuple[bytes, int, int]]:
    found = list(islice(boxes(data, begin, end), _MOST + 1))
    if len(found) > _MOST:
        raise ApertureError("the file has too many boxes")
    return found
