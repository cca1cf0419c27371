"""Untrusted text that is kept: what a database or a response can't hold is left out."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_id(text: str) -> bool:
    """True when the text could be an id of ours; anything else never reaches the database."""
    return _ID.fullmatch(text) is not None


def plain(text: str, most: int) -> str:
    """``text`` without control characters and lone surrogates, at most ``most`` characters of it."""
    return "".join(letter for letter in text[:most] if letter.isprintable())
