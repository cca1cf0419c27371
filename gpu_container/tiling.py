"""Where tiles lie: all of one shape, no more of them than needed, each sure of the part it answers for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One tile along one axis: it reads ``start..start+size`` and answers for ``keep_from..keep_to``."""

    start: int
    size: int
    keep_from: int
    keep_to: int


@dataclass(frozen=True)
class Tile:
    """One tile of the plane."""

    rows: Span
    columns: Span


def spans(length: int, tile: int, overlap: int, align: int) -> list[Span]:
    """Tiles along an axis of ``length`` pixels.

    The first tile begins and the last one ends exactly at the picture's border, because the network pads
    with zeros there; between two tiles at least ``2 * overlap`` pixels are shared and cut in the middle.
    """
    size = max(align, tile // align * align)
    if length <= size:
        return [Span(0, length, 0, length)]
    step = size - 2 * overlap
    if step <= 0:
        raise ValueError(f"a tile of {size} px leaves nothing beside an overlap of {overlap} px")
    count = -(-(length - 2 * overlap) // step)
    starts = [round(number * (length - size) / (count - 1)) for number in range(count)]
    cuts = [(starts[n + 1] + starts[n] + size) // 2 for n in range(count - 1)]
    bounds = [0, *cuts, length]
    return [Span(start, size, bounds[n], bounds[n + 1]) for n, start in enumerate(starts)]


def tiles(height: int, width: int, tile: int, overlap: int, align: int) -> list[Tile]:
    """The tiles of a picture, row by row."""
    rows, columns = spans(height, tile, overlap, align), spans(width, tile, overlap, align)
    return [Tile(row, column) for row in rows for column in columns]
