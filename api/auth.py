"""Who is calling. Until users have keys everybody is the same owner."""

from __future__ import annotations

ANONYMOUS = "anonymous"


def current_owner() -> str:
    """The owner of what this request creates and sees."""
    return ANONYMOUS
