"""Words of strangers that are kept: what a database or an answer can't hold is left out."""

from __future__ import annotations


def plain(text: str, most: int) -> str:
    """``text`` without control characters and lone surrogates, at most ``most`` characters of it."""
    return "".join(letter for letter in text[:most] if letter.isprintable())
