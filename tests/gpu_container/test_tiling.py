"""Tiles: one shape, none too many, every pixel answered for exactly once, far enough from inner edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_container.tiling import Tile, TileBand, TileGrid, TileRegion, TileSpan, bands, spans

LENGTHS = st.integers(1, 9000)
GRIDS = st.builds(
    TileGrid, st.sampled_from([64, 96, 128, 512]), st.sampled_from([4, 20, 24]), st.sampled_from([1, 8, 32])
)


@given(length=LENGTHS, grid=GRIDS, offset=st.integers(0, 50))
def test_every_pixel_is_answered_for_once(length: int, grid: TileGrid, offset: int) -> None:
    covered = [(span.keep_from, span.keep_to) for span in spans(length, grid, offset)]
    assert covered[0][0] == offset
    assert covered[-1][1] == offset + length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(covered))
    assert all(start < end for start, end in covered)


@given(length=LENGTHS, grid=GRIDS)
def test_tiles_have_one_size_and_end_at_the_borders(length: int, grid: TileGrid) -> None:
    made = spans(length, grid)
    sizes = {span.size for span in made}
    assert len(sizes) == 1
    assert sizes.pop() <= grid.tile
    assert made[0].start == 0
    assert made[-1].end == length


@given(length=LENGTHS, grid=GRIDS)
def test_what_is_kept_is_far_from_inner_edges(length: int, grid: TileGrid) -> None:
    for span in spans(length, grid):
        if span.start > 0:
            assert span.keep_from - span.start >= grid.overlap
        if span.end < length:
            assert span.end - span.keep_to >= grid.overlap


@given(length=LENGTHS, grid=GRIDS)
def test_there_is_no_tile_too_many_and_none_too_large(length: int, grid: TileGrid) -> None:
    made = spans(length, grid)
    count, overlap = len(made), grid.overlap
    if count == 1:
        return
    largest = grid.tile // grid.step * grid.step
    assert (count - 1) * (largest - 2 * overlap) + 2 * overlap < length, "one tile fewer would do"
    smaller = made[0].size - grid.step
    assert count * (smaller - 2 * overlap) + 2 * overlap < length, "smaller tiles would do"


def test_a_tile_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing beside an overlap"):
        spans(500, TileGrid(128, 64, 8))


@given(
    height=st.integers(1, 600),
    width=st.integers(1, 600),
    overlap=st.sampled_from([4, 20]),
    times=st.integers(1, 4),
)
def test_halves_answer_for_the_same_pixels_and_keep_their_distance(
    height: int, width: int, overlap: int, times: int
) -> None:
    tiles = [Tile(TileSpan(0, height, 0, height), TileSpan(0, width, 0, width))]
    for _ in range(times):
        tiles = [part for tile in tiles for part in tile.halves(overlap, 1) or (tile,)]
    counted = np.zeros((height, width), np.uint8)
    for tile in tiles:
        rows, columns = tile.rows, tile.columns
        counted[rows.keep_from : rows.keep_to, columns.keep_from : columns.keep_to] += 1
        for span, length in ((rows, height), (columns, width)):
            assert span.keep_from - span.start >= overlap or span.start == 0
            assert span.end - span.keep_to >= overlap or span.end == length
    assert (counted == 1).all()


def test_halving_ends_where_nothing_is_won() -> None:
    span = TileSpan(0, 129, 64, 65)
    assert Tile(span, span).halves(64, smallest=1) is None


def test_the_smallest_tile_is_not_halved() -> None:
    span = TileSpan(0, 100, 0, 100)
    assert Tile(span, span).halves(20, smallest=96) is None
    assert Tile(span, span).halves(20, smallest=64) is not None


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    top=st.integers(0, 200),
    rows=st.integers(1, 200),
)
def test_bands_cover_the_picture_from_top_to_bottom(height: int, width: int, top: int, rows: int) -> None:
    top = min(top, height - 1)
    region = TileRegion(top, min(height, top + rows), 0, width)
    made = bands(height, TileGrid(64, 4, 8), region, lambda _: True)
    assert made[0].start == 0
    assert made[-1].end == height
    assert all(before.end == after.start for before, after in itertools.pairwise(made))
    assert all(band.end - band.start <= 64 for band in made)


def test_nothing_is_computed_where_nothing_is_visible() -> None:
    assert bands(130, TileGrid(64, 4, 8), None, lambda _: True) == [
        TileBand(0, 64, ()),
        TileBand(64, 128, ()),
        TileBand(128, 130, ()),
    ]
