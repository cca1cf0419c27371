"""Whether a picture is put together of several, and where one ends and the next begins.

A seam is a straight line across the whole picture, or across the whole of a part. Beside it the colours
change abruptly, and not in one direction: here the left side is lighter, there the right one. A horizon, the
edge of a shadow or a pole in a single photograph is straight and abrupt too, but it changes in one direction
from end to end. A gutter is a seam with lines of one colour between its sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# left, top, right, bottom
Box = tuple[int, int, int, int]

MOST_PARTS = 16
_SMALLEST_SHARE, _SMALLEST_PX = 6, 32
# columns on both sides of a seam; the one between may have something of both
_APART = 2
# columns from a seam that no line drawn over it reaches
_CLEAR = 4
# steps of 255 that are no noise of a compressed picture
_STEP = 12
_EVEN = 6.0
# widest gutter and frame, as a share of the part that it lies in
_WIDEST_GUTTER, _WIDEST_FRAME = 0.03, 0.05
# shares of a seam: with a step, the same at the edges of a gutter, the same from one part to the other,
# with a step in the rarer of both directions
_ALONG, _ALONG_GUTTER, _PARTED, _BOTH_WAYS = 0.8, 0.55, 0.6, 0.12
# how often the direction of the steps turns along a seam
_TURNS = 4
# steps across a seam compared with steps beside it: at a pixel, on average, and from one part to the other
_STEEPER, _STEEPER_ON_AVERAGE, _STEEPER_FAR = 1.5, 2.0, 1.2


@dataclass(frozen=True)
class _Seam:
    """``begin`` is the first column of a gutter and ``end`` the first behind it; ``share`` has a step."""

    share: float
    begin: int
    end: int
    is_upright: bool = True


def parts(pixels: np.ndarray) -> list[Box]:
    """Boxes of the pictures that ``pixels`` (H, W, 3) uint8 is put together of, 2 to 16, or none.

    No part is smaller than a sixth of the whole in either direction, which bounds the work too.
    """
    wide = pixels.astype(np.int16)
    height, width = wide.shape[:2]
    least = (max(_SMALLEST_PX, width // _SMALLEST_SHARE), max(_SMALLEST_PX, height // _SMALLEST_SHARE))
    waiting: list[Box] = [_unframed(wide, (0, 0, width, height))]
    found: list[Box] = []
    while waiting:
        box = waiting.pop()
        seam = _seam(_cut(wide, box), least) if len(waiting) + len(found) + 2 <= MOST_PARTS else None
        if seam is None:
            found.append(box)
        else:
            waiting += [_unframed(wide, half) for half in _halves(box, seam)]
    return found if len(found) > 1 else []


def _cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]


def _halves(box: Box, seam: _Seam) -> tuple[Box, Box]:
    left, top, right, bottom = box
    if seam.is_upright:
        return (left, top, left + seam.begin, bottom), (left + seam.end, top, right, bottom)
    return (left, top, right, top + seam.begin), (left, top + seam.end, right, bottom)


def _unframed(pixels: np.ndarray, box: Box) -> Box:
    """``box`` without a narrow frame of one colour."""
    left, top, right, bottom = box
    inside = _cut(pixels, box)
    before, behind = _frame(inside)
    above, below = _frame(inside.swapaxes(0, 1))
    return left + before, top + above, right - behind, bottom - below


def _frame(pixels: np.ndarray) -> tuple[int, int]:
    """Columns of one colour at the left and at the right."""
    most = int(pixels.shape[1] * _WIDEST_FRAME)
    return _leading(pixels[:, :most]), _leading(pixels[:, ::-1][:, :most])


def _leading(pixels: np.ndarray) -> int:
    even = _even(pixels)
    return int(np.argmin(even)) if not even.all() else len(even)


def _even(pixels: np.ndarray) -> np.ndarray:
    """Which columns have one colour."""
    colour: np.ndarray = pixels.std(axis=0, dtype=np.float32).max(axis=1) <= _EVEN
    return colour


def _seam(pixels: np.ndarray, least: tuple[int, int]) -> _Seam | None:
    """The clearest seam with ``least`` (width, height) on both sides. Returns None if there is none."""
    upright = list(_upright(pixels, least[0]))
    level = [
        _Seam(seam.share, seam.begin, seam.end, is_upright=False)
        for seam in _upright(pixels.swapaxes(0, 1), least[1])
    ]
    return max([*upright, *level], key=lambda seam: seam.share, default=None)


def _upright(pixels: np.ndarray, least: int) -> Iterator[_Seam]:
    if pixels.shape[1] < 2 * least:
        return
    yield from _abrupt(pixels, least)
    yield from _gutters(pixels, least)


def _abrupt(pixels: np.ndarray, least: int) -> Iterator[_Seam]:
    steps = pixels[:, _APART:] - pixels[:, :-_APART]
    sizes = np.abs(steps).max(axis=2)
    across, beside = sizes[:, _APART:-_APART], np.maximum(sizes[:, : -2 * _APART], sizes[:, 2 * _APART :])
    share = _stepped(across, beside, _STEEPER)
    average = across.mean(axis=0) / (1 + beside.mean(axis=0))
    # the edge of a gutter, or of a line that someone drew, has one colour on one side
    around = np.lib.stride_tricks.sliding_window_view(_even(pixels), 3 * _APART + 1)
    for at in np.flatnonzero(~around.any(axis=1) & (share >= _ALONG) & (average >= _STEEPER_ON_AVERAGE)):
        # the column between the two that are compared
        middle = int(at) + _APART + 1
        if least <= middle < pixels.shape[1] - least and _is_parted(pixels, middle - _CLEAR, middle + _CLEAR):
            yield _Seam(float(share[at]), middle, middle + 1)


def _gutters(pixels: np.ndarray, least: int) -> Iterator[_Seam]:
    width = pixels.shape[1]
    even = np.concatenate([[False], _even(pixels), [False]])
    begins, ends = np.flatnonzero(~even[:-1] & even[1:]), np.flatnonzero(even[:-1] & ~even[1:])
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if begin < least or end > width - least or end - begin > _WIDEST_GUTTER * width:
            continue
        left, right = begin - _APART, end - 1 + _APART
        edges = np.abs(pixels[:, [left, right]] - pixels[:, [(begin + end) // 2]]).max(axis=2)
        share = float((edges > _STEP).mean(axis=0).min())
        if share >= _ALONG_GUTTER and _is_parted(pixels, left, right):
            yield _Seam(share, begin, end)


def _is_parted(pixels: np.ndarray, left: int, right: int) -> bool:
    """Whether two columns do not continue each other.

    A line that someone drew into a photograph parts nothing: the photograph goes on behind it.
    """
    steps, apart = pixels[:, right] - pixels[:, left], right - left
    before = np.abs(pixels[:, left] - pixels[:, left - apart]).max(axis=1)
    behind = np.abs(pixels[:, right + apart] - pixels[:, right]).max(axis=1)
    share = _stepped(np.abs(steps).max(axis=1), np.maximum(before, behind), _STEEPER_FAR)
    return float(share) >= _PARTED and _changes_both_ways(steps)


def _stepped(across: np.ndarray, beside: np.ndarray, steeper: float) -> np.ndarray:
    """Share, along the first axis, of steps that are no noise and steeper than those beside them."""
    share: np.ndarray = ((across > _STEP) & (across > steeper * beside)).mean(axis=0)
    return share


def _changes_both_ways(steps: np.ndarray) -> bool:
    """Whether a colour, or its hue, rises here and falls there along ``steps`` (N, 3), and again and again.

    The edge of a wall is lighter than the room behind it and darker than the cupboard, once each.
    """
    hue = steps[:, :1] - steps[:, 2:]
    each = np.concatenate([steps, hue], axis=1)
    rarer = np.minimum((each > _STEP).mean(axis=0), (each < -_STEP).mean(axis=0))
    return any(_turns(each[:, at]) >= _TURNS for at in np.flatnonzero(rarer >= _BOTH_WAYS))


def _turns(steps: np.ndarray) -> int:
    """How often ``steps`` (N,) rise after they fell, or fall after they rose."""
    clear = np.sign(steps[np.abs(steps) > _STEP])
    return int((clear[1:] != clear[:-1]).sum())
