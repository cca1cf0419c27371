"""Where a picture's file has its pixels, and what stands beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

Span = tuple[int, int]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_AROUND = 12
_WEBP_PIXELS = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_SHORTEST_JFIF = 16
_TIFF_OFFSETS, _TIFF_COUNTS = (273, 324), (279, 325)


def beside_pixels(data: bytes, name: str, tags: dict[int, Sequence[int]] | None = None) -> list[bytes]:
    """The parts of ``data`` that are no compressed pixels: in those any word comes about by chance.

    ``name`` is the format as Pillow has it, ``tags`` the first directory of a TIFF. A file whose structure
    can't be followed is one part.
    """
    readers = {"PNG": _png, "JPEG": _jpeg, "MPO": _jpeg, "WEBP": _webp, "HEIF": _media, "AVIF": _media}
    if name == "TIFF":
        spans = _tiff(tags or {})
    elif name == "BMP":
        spans = _bmp(data)
    else:
        spans = list(readers[name](data)) if name in readers else []
    parts, at = [], 0
    for begin, end in sorted(spans):
        parts.append(data[at:begin])
        at = max(at, end)
    return [*parts, data[at:]]


def without_broken_extras(data: bytes) -> bytes:
    """``data`` without what no viewer needs and Pillow stumbles over.

    That is an ancillary chunk of a PNG whose checksum is wrong, and a JFIF segment that is too short.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _without(data, _broken_chunks(data))
    if data.startswith(b"\xff\xd8"):
        return _without(data, _short_jfif(data))
    return data


def _without(data: bytes, spans: list[Span]) -> bytes:
    if not spans:
        return data
    parts, at = [], 0
    for begin, end in spans:
        parts.append(data[at:begin])
        at = end
    return b"".join((*parts, data[at:]))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(_PNG_SIGNATURE)
    while at + _PNG_AROUND <= len(data):
        end = at + _PNG_AROUND + int.from_bytes(data[at : at + 4])
        if end > len(data):
            return
        kind = data[at + 4 : at + 8]
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _png(data: bytes) -> Iterator[Span]:
    return ((begin + 8, end - 4) for kind, begin, end in _chunks(data) if kind in {b"IDAT", b"fdAT"})


def _broken_chunks(data: bytes) -> list[Span]:
    # the fifth bit of the first letter makes a chunk one that a decoder may leave out
    return [
        (begin, end)
        for kind, begin, end in _chunks(data)
        if kind[0] & 0x20 and zlib.crc32(data[begin + 4 : end - 4]) != int.from_bytes(data[end - 4 : end])
    ]


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment of a JPEG, in front of and between its scans."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_STANDALONE:
            at += 2
            continue
        if marker == 0xD9:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, at, min(end, len(data))
        at = _scan_end(data, end) if marker == 0xDA else end


def _scan_end(data: bytes, at: int) -> int:
    """Where the compressed data that begins at ``at`` ends: at a marker that is no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] not in {0x00, 0xFF, *range(0xD0, 0xD8)}:
            return at
        at += 1 if data[at + 1] == 0xFF else 2


def _jpeg(data: bytes) -> Iterator[Span]:
    return ((end, _scan_end(data, end)) for marker, _, end in _segments(data) if marker == 0xDA)


def _short_jfif(data: bytes) -> list[Span]:
    return [
        (begin, end)
        for marker, begin, end in _segments(data)
        if marker == 0xE0 and end - begin - 2 < _SHORTEST_JFIF and data[begin + 4 : begin + 8] == b"JFIF"
    ]


def _webp(data: bytes) -> Iterator[Span]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] in _WEBP_PIXELS:
            yield at + 8, min(at + 8 + size, len(data))
        at += 8 + size + size % 2


def boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box of an ISO base media file, or of a box, in order."""
    at = begin
    while at + 8 <= end:
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        behind = end if size == 0 else min(at + size, end)
        if behind < at + head:
            return
        yield data[at + 4 : at + 8], at + head, behind
        at = behind


def _media(data: bytes) -> Iterator[Span]:
    """The media data of an ISO base media file."""
    return ((begin, end) for kind, begin, end in boxes(data, 0, len(data)) if kind == b"mdat")


def _tiff(tags: dict[int, Sequence[int]]) -> list[Span]:
    return [
        (int(offset), int(offset) + int(count))
        for offsets, counts in zip(_TIFF_OFFSETS, _TIFF_COUNTS, strict=True)
        for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
    ]


def _bmp(data: bytes) -> list[Span]:
    begin = int.from_bytes(data[10:14], "little")
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    row = (max(0, width) * int.from_bytes(data[28:30], "little") + 31) // 32 * 4
    return [(begin, min(len(data), begin + row * height))]
