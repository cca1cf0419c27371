"""Tiles: one shape, none too many, every pixel answered for exactly once, far enough from inner edges."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gpu_container.tiling import spans

LENGTHS = st.integers(1, 9000)
SHAPES = st.tuples(st.sampled_from([64, 96, 128, 512]), st.sampled_from([4, 20, 24]))


@given(length=LENGTHS, shape=SHAPES)
def test_every_pixel_is_answered_for_once(length: int, shape: tuple[int, int]) -> None:
    tile, overlap = shape
    covered = [(span.keep_from, span.keep_to) for span in spans(length, tile, overlap, 8)]
    assert covered[0][0] == 0
    assert covered[-1][1] == length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(covered))
    assert all(start < end for start, end in covered)


@given(length=LENGTHS, shape=SHAPES)
def test_tiles_have_one_size_and_end_at_the_borders(length: int, shape: tuple[int, int]) -> None:
    tile, overlap = shape
    made = spans(length, tile, overlap, 8)
    assert {span.size for span in made} == {min(length, tile)}
    assert made[0].start == 0
    assert made[-1].start + made[-1].size == length


@given(length=LENGTHS, shape=SHAPES)
def test_what_is_kept_lies_an_overlap_away_from_inner_edges(length: int, shape: tuple[int, int]) -> None:
    tile, overlap = shape
    for span in spans(length, tile, overlap, 8):
        if span.start > 0:
            assert span.keep_from - span.start >= overlap
        if span.start + span.size < length:
            assert span.start + span.size - span.keep_to >= overlap


@given(length=LENGTHS, shape=SHAPES)
def test_there_is_no_tile_too_many(length: int, shape: tuple[int, int]) -> None:
    tile, overlap = shape
    count = len(spans(length, tile, overlap, 8))
    if count > 1:
        most_by_fewer = (count - 1) * (tile - 2 * overlap) + 2 * overlap
        assert most_by_fewer < length
