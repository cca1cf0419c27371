"""What arrived, for people: how many of each kind, and the trace as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from drills.telemetry.ingestion import Item

SPANS = ("request", "dependency")


def summary(items: list[Item], operation: str) -> str:
    """Counts by kind and process, then the spans of one operation, each under its parent."""
    counts = Counter((item.kind, item.role or "-") for item in items)
    lines = [f"{count:5d} {kind:<11} {role}" for (kind, role), count in sorted(counts.items())]
    spans = [item for item in items if item.kind in SPANS and item.operation == operation]
    lines += ["", f"operation {operation}: {len(spans)} spans"]
    return "\n".join([*lines, *_tree(spans)])


def milliseconds(duration: str) -> float:
    """Of ``d.hh:mm:ss.fff``."""
    days, _, rest = duration.partition(".")
    hours, minutes, seconds = rest.split(":")
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60_000 + float(seconds) * 1000


def _tree(spans: list[Item]) -> list[str]:
    ids = {span.id for span in spans}
    roots = [span for span in spans if span.parent not in ids]
    return [line for root in _in_order(roots) for line in _branch(root, spans, 0)]


def _branch(span: Item, spans: list[Item], depth: int) -> Iterator[str]:
    mark = "" if span.data["success"] else "  FAILED"
    label = f"{'  ' * depth}{span.name}"
    took = milliseconds(span.data["duration"])
    yield f"{label:<58} {span.kind:<10} {took:9.1f} ms  {span.role}{mark}"
    for child in _in_order([each for each in spans if each.parent == span.id]):
        yield from _branch(child, spans, depth + 1)


def _in_order(spans: list[Item]) -> list[Item]:
    return sorted(spans, key=lambda span: str(span.raw["time"]))
