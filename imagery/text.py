"""Untrusted text that is stored or sent back, without characters that a database or a response can't hold."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_id(text: str) -> bool:
    """True if the text could be one of our ids; anything else is not looked up in the database."""
    return _ID.fullmatch(text) is not None


def plain(text: str, most: int) -> str:
    """``text`` without control characters and lone surrogates, at most ``most`` characters of it."""
    return "".join(letter for letter in text[:most] if letter.isprintable())
