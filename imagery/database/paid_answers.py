"""What came of a paid call, as the ledger keeps it: bounded, and of nothing but what a database can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagery.contracts import ImageSize
from imagery.database.tables import SpendEntry, utc_now
from imagery.text import plain

MAX_NAME = 100
_MAX_TEXT = 300
# usage: entries of one object or list, depth, and the greatest number
_MOST_ENTRIES = 30
_MOST_DEPTH = 3
_MOST_NUMBER = 1e15


@dataclass(frozen=True)
class PaidAnswer:
    """What a provider sent for a call, and what it costs, micro USD; without ``size`` it has no picture.

    ``model``: the version that responded. ``usage``: what the provider counted, as it came.
    """

    price_micro_usd: int
    model: str = ""
    response_id: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    size: ImageSize | None = None
    width: int | None = None
    height: int | None = None

    def write_on(self, entry: SpendEntry) -> None:
        """Keep the answer in the row of its call."""
        entry.answered_at = utc_now()
        entry.due_micro_usd = self.price_micro_usd
        entry.answered_model = plain(self.model, MAX_NAME) or None
        entry.response_id = plain(self.response_id, MAX_NAME) or None
        entry.usage = _bounded(self.usage, _MOST_DEPTH) or None
        entry.text = plain(self.text, _MAX_TEXT) or None
        entry.delivered_size = self.size.value if self.size else None
        entry.width, entry.height = self.width, self.height


def forget(entry: SpendEntry) -> None:
    """Take an earlier answer out of a row that is reserved again."""
    entry.answered_at = entry.due_micro_usd = entry.usage = entry.width = entry.height = None
    entry.answered_model = entry.response_id = entry.delivered_size = entry.text = None


def _bounded(value: Any, depth: int) -> Any:
    """``value`` without what is too long, too deep or no JSON, such as NaN, which PostgreSQL refuses."""
    if isinstance(value, str):
        return plain(value, MAX_NAME)
    if isinstance(value, Mapping) and depth > 0:
        items = list(value.items())[:_MOST_ENTRIES]
        return {plain(str(name), MAX_NAME): _bounded(each, depth - 1) for name, each in items}
    if isinstance(value, list) and depth > 0:
        return [_bounded(each, depth - 1) for each in value[:_MOST_ENTRIES]]
    # NaN is not smaller than anything
    is_number = isinstance(value, int | float) and abs(value) < _MOST_NUMBER
    return value if is_number else None
