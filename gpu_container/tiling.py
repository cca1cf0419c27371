"""Where tiles lie: one shape, no more and no larger than needed, each exact in the pixels that it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TileSpan:
    """One tile along one axis: it reads ``start..start+size`` and keeps ``keep_from..keep_to``."""

    start: int
    size: int
    keep_from: int
    keep_to: int

    @property
    def end(self) -> int:
        """One behind the last pixel that is read."""
        return self.start + self.size

    def halves(self, overlap: int) -> tuple[TileSpan, TileSpan]:
        """Two spans that together keep the same pixels and read nothing beyond this one.

        Only for a span that keeps two pixels or more.
        """
        middle = (self.keep_from + self.keep_to) // 2
        first_end = min(middle + overlap, self.end)
        second_start = max(middle - overlap, self.start)
        return (
            TileSpan(self.start, first_end - self.start, self.keep_from, middle),
            TileSpan(second_start, self.end - second_start, middle, self.keep_to),
        )


@dataclass(frozen=True)
class Tile:
    """One tile of the plane."""

    rows: TileSpan
    columns: TileSpan

    @property
    def pixels(self) -> int:
        """Pixels that the network reads."""
        return self.rows.size * self.columns.size

    def read(self, plane: np.ndarray) -> np.ndarray:
        """The view of ``plane`` (H, W, ...) that the network reads."""
        return plane[self.rows.start : self.rows.end, self.columns.start : self.columns.end]

    def halves(self, overlap: int, smallest: int) -> tuple[Tile, Tile] | None:
        """Two smaller tiles in the place of this one; None when a side would not shrink or get too small."""
        along_rows = self.rows.size >= self.columns.size
        span = self.rows if along_rows else self.columns
        if span.keep_to - span.keep_from < 2:
            return None
        parts = span.halves(overlap)
        largest = max(part.size for part in parts)
        if largest >= span.size or largest < smallest:
            return None
        if along_rows:
            return Tile(parts[0], self.columns), Tile(parts[1], self.columns)
        return Tile(self.rows, parts[0]), Tile(self.rows, parts[1])


@dataclass(frozen=True)
class TileBand:
    """Rows of the picture that are finished together: ``start..end``, and the tiles that compute them."""

    start: int
    end: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class TileRegion:
    """The part of a picture in which anything is visible."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class TileGrid:
    """How large tiles are at most, how much of an inner edge is thrown away, what sides are multiples of."""

    tile: int
    overlap: int
    step: int


def spans(length: int, grid: TileGrid, offset: int = 0) -> list[TileSpan]:
    """Tiles along an axis of ``length`` pixels that begins at ``offset``.

    As few as tiles of at most ``grid.tile`` pixels allow, then as small as that number allows. The first
    tile begins and the last one ends exactly at the ends, because at a picture's border the network pads
    with zeros; between two tiles at least ``2 * overlap`` pixels are shared and cut in the middle.
    """
    overlap, step = grid.overlap, grid.step
    largest = max(step, grid.tile // step * step)
    if length <= largest:
        return [TileSpan(offset, length, offset, offset + length)]
    stride = largest - 2 * overlap
    if stride <= 0:
        raise ValueError(f"a tile of {largest} px leaves nothing beside an overlap of {overlap} px")
    count = -(-(length - 2 * overlap) // stride)
    needed = -(-(length + 2 * overlap * (count - 1)) // count)
    size = min(largest, -(-needed // step) * step)
    starts = [round(number * (length - size) / (count - 1)) for number in range(count)]
    cuts = [(starts[n + 1] + starts[n] + size) // 2 for n in range(count - 1)]
    bounds = [0, *cuts, length]
    return [
        TileSpan(offset + start, size, offset + bounds[n], offset + bounds[n + 1])
        for n, start in enumerate(starts)
    ]


def bands(
    height: int, grid: TileGrid, region: TileRegion | None, needed: Callable[[Tile], bool]
) -> list[TileBand]:
    """The picture from top to bottom in bands of at most ``grid.tile`` rows.

    Only ``needed`` tiles in ``region`` are computed (None: nothing at all).
    """
    if region is None:
        return _blank(0, height, grid.tile)
    columns = spans(region.right - region.left, grid, region.left)
    computed = []
    for row in spans(region.bottom - region.top, grid, region.top):
        tiles = [tile for tile in (Tile(row, column) for column in columns) if needed(tile)]
        computed.append(TileBand(row.keep_from, row.keep_to, tuple(tiles)))
    return [
        *_blank(0, region.top, grid.tile),
        *computed,
        *_blank(region.bottom, height, grid.tile),
    ]


def _blank(start: int, end: int, most: int) -> list[TileBand]:
    return [TileBand(top, min(top + most, end), ()) for top in range(start, end, most)]
