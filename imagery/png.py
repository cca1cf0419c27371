"""PNG files without personal metadata."""

from __future__ import annotations

from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
# EXIF, texts (XMP is one) and the time; colour, and who made the picture by which model, stay
_PERSONAL = {b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"}
_AROUND = 12
# of Content Credentials
_MANIFEST = b"caBX"


def without_personal_metadata(data: bytes) -> bytes:
    """``data``, a PNG that decodes, without EXIF, XMP, texts, time, and what stands behind its end.

    Every other chunk stays byte for byte. Raises nothing.
    """
    kept = (chunk for kind, chunk in _chunks(data) if kind not in _PERSONAL)
    return b"".join((SIGNATURE, *kept, _END))


def has_manifest(data: bytes) -> bool:
    """True for a PNG that carries Content Credentials, good or not. Raises nothing."""
    return data.startswith(SIGNATURE) and any(kind == _MANIFEST for kind, _ in _chunks(data))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of each whole chunk before the end."""
    at = len(SIGNATURE)
    while at + _AROUND <= len(data):
        end = at + _AROUND + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind == b"IEND" or end > len(data):
            return
        yield kind, data[at:end]
        at = end
