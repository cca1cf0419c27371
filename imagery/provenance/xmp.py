"""What XMP says of a picture's source: IPTC's DigitalSourceType, read and written without touching a pixel.

Social networks and picture agencies read it even where they don't read Content Credentials.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

from imagery.provenance.avif_items import AvifError, with_xmp_item

PNG, JPEG, WEBP, AVIF = "image/png", "image/jpeg", "image/webp", "image/avif"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' Iptc4xmpExt:DigitalSourceType="{source_type}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
# as an attribute, as text of an element, or as a resource of one
_SOURCE = re.compile(
    rb"DigitalSourceType(?:\s*=\s*[\"']|\s*>\s*|\s+rdf:resource\s*=\s*[\"'])"
    rb"(https?://cv\.iptc\.org/newscodes/digitalsourcetype/[A-Za-z]{1,60})"
)
_MOST = 8
_URL = re.compile(r"https?://cv\.iptc\.org/newscodes/digitalsourcetype/[A-Za-z]{1,60}")

_PNG_START, _PNG_KEY = b"\x89PNG\r\n\x1a\n", b"XML:com.adobe.xmp\0"
_JPEG_KEY = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_START, _APP0, _APP1, _APP15, _SCAN = b"\xff\xd8", 0xE0, 0xE1, 0xEF, 0xDA
# flags of VP8X
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10


class XmpError(ValueError):
    """The file is not built as files of its type are."""


def source_types(data: bytes) -> tuple[str, ...]:
    """The source types that XMP in ``data`` names; it is found wherever it stands in plain text."""
    found = dict.fromkeys(match.group(1).decode() for match in _SOURCE.finditer(data))
    return tuple(url.replace("https://", "http://") for url in list(found)[:_MOST])


def with_source_type(data: bytes, content_type: str, source_type: str) -> bytes:
    """``data`` with XMP that says ``source_type`` and nothing else; XMP that was there is replaced.

    Pixels and all other metadata stay byte for byte. Raises ``XmpError``.
    """
    if not _URL.fullmatch(source_type):
        raise XmpError(f"{source_type!r} is no term of IPTC")
    writer = _WRITERS.get(content_type)
    if writer is None:
        raise XmpError(f"XMP in {content_type} is not known here")
    try:
        return writer(data, _PACKET.format(source_type=source_type).encode())
    except (IndexError, struct.error, AvifError) as error:
        raise XmpError(f"the {content_type} is damaged: {error}") from error


def _in_png(data: bytes, packet: bytes) -> bytes:
    if not data.startswith(_PNG_START):
        raise XmpError("the file is no PNG")
    # neither compressed nor in a language
    content = b"iTXt" + _PNG_KEY + bytes(4) + packet
    chunk = (len(content) - 4).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)
    parts, at = [_PNG_START], len(_PNG_START)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if end > len(data):
            raise XmpError("the PNG ends too early")
        if kind == b"iTXt" and data[at + 8 :].startswith(_PNG_KEY):
            at = end
            continue
        parts.append(data[at:end])
        if kind == b"IHDR":
            parts.append(chunk)
        at = end
    return b"".join(parts)


def _in_jpeg(data: bytes, packet: bytes) -> bytes:
    if not data.startswith(_JPEG_START):
        raise XmpError("the file is no JPEG")
    content = _JPEG_KEY + packet
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2) + content
    parts, at, is_in = [_JPEG_START], 2, False
    while data[at + 1] != _SCAN:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at] != 0xFF or end > len(data):
            raise XmpError("the JPEG ends too early")
        # JFIF stands first; ours comes before all that is not JFIF or EXIF
        is_first = marker == _APP0 or (marker == _APP1 and data[at + 4 : at + 8] == b"Exif")
        if not is_in and not is_first:
            parts.append(segment)
            is_in = True
        if not (marker == _APP1 and data[at + 4 :].startswith(_JPEG_KEY)):
            parts.append(data[at:end])
        at = end
    return b"".join([*parts, *([] if is_in else [segment]), data[at:]])


def _in_webp(data: bytes, packet: bytes) -> bytes:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise XmpError("the file is no WebP")
    chunks = [(kind, body) for kind, body in _riff(data) if kind != b"XMP "]
    kinds = [kind for kind, _ in chunks]
    if b"VP8X" not in kinds:
        chunks.insert(0, (b"VP8X", _extended(*chunks[0])))
    flags, rest = chunks[0][1][0] | _HAS_XMP, chunks[0][1][1:]
    chunks[0] = (b"VP8X", bytes([flags]) + rest)
    written = b"".join(_riff_chunk(kind, body) for kind, body in [*chunks, (b"XMP ", packet)])
    return _riff_chunk(b"RIFF", b"WEBP" + written)


def _riff(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 12
    last = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    while at + 8 <= last:
        (size,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + size > last:
            raise XmpError("the WebP ends too early")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    if not chunks:
        raise XmpError("the WebP is empty")
    return chunks


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _extended(kind: bytes, body: bytes) -> bytes:
    """The header that a simple WebP lacks: flags, width and height."""
    flags = 0
    width: int
    height: int
    if kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", body, 6))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise XmpError("the WebP begins with no picture")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


_WRITERS: dict[str, Callable[[bytes, bytes], bytes]] = {
    PNG: _in_png,
    JPEG: _in_jpeg,
    WEBP: _in_webp,
    AVIF: with_xmp_item,
}
