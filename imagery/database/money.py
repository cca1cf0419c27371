"""Money as SQL knows it: whole millionths of USD, and the states of an entry of the ledger."""

from __future__ import annotations

from enum import StrEnum

from imagery.database.tables import User

_MICRO = 1_000_000


class SpendState(StrEnum):
    """State of one entry of the ledger: ``reserved -> sent -> settled | released | unknown``."""

    RESERVED = "reserved"
    SENT = "sent"
    SETTLED = "settled"
    RELEASED = "released"
    UNKNOWN = "unknown"


UNDER_WAY = (SpendState.RESERVED, SpendState.SENT)
# the request went out, and it is not known yet whether it was charged
UNACCOUNTED = (SpendState.SENT, SpendState.UNKNOWN)


def to_micro(usd: float) -> int:
    """Millionths of USD, rounded."""
    return round(usd * _MICRO)


def to_usd(micro_usd: int) -> float:
    """USD."""
    return micro_usd / _MICRO


def usd_per_day(user: User | None, default_usd: float) -> float:
    """What ``user`` may spend in a UTC day: the limit of its own, or the default."""
    if user is None or user.micro_usd_per_day is None:
        return default_usd
    return to_usd(user.micro_usd_per_day)
