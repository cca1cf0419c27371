"""The type of a file by its first bytes, in words for its sender."""

from __future__ import annotations

_START = 512
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"8BPS", "a Photoshop document"),
)
_TEXTS = (
    (b"<svg", "an SVG drawing"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?php", "a script"),
    (b"<?xml", "an XML document"),
    (b"#!", "a script"),
)
_HEIF_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"mif1": "HEIF", b"msf1": "HEIF"}


def sniff(data: bytes) -> str | None:
    """A name of ``pictures.FORMATS`` or words for something else. Returns None if it is not known."""
    start = data[:_START]
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand == b"crx ":
            return "a Canon raw photo"
        return "HEIF" if brand.startswith(b"he") else _HEIF_BRANDS.get(brand, "a video")
    for signature, name in _SIGNATURES:
        if start.startswith(signature):
            return name
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((name for mark, name in _TEXTS if text.startswith(mark)), None)
