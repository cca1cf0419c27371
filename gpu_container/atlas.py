"""Tiles of any size side by side in one plane of fixed size, one pixel apart: the atlas of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# rows and columns between tiles: a 3x3 convolution sees one pixel far
_GAP = 1
PlaneSize = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """Where a tile lies in the plane, pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass
class Atlas:
    """A plane that tiles are put into, each as far up as it goes, then as far left."""

    height: int
    width: int
    boxes: list[Box] = field(default_factory=list)
    _filled: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # the first free row of every column
        self._filled = np.zeros(self.width, np.intp)

    @property
    def pixels(self) -> int:
        """Of the whole plane, which is what the device computes."""
        return self.height * self.width

    def add(self, height: int, width: int) -> bool:
        """Find a place for one more tile. False, and nothing changes, when there is none."""
        if width > self.width:
            return False
        windows = np.lib.stride_tricks.sliding_window_view(self._filled, width)
        # a tile begins at the left edge or where what lies above it changes
        steps = np.flatnonzero(np.diff(self._filled, prepend=-1))
        starts = steps[steps < len(windows)]
        tops = windows[starts].max(axis=1)
        best = int(tops.argmin())
        top, left = int(tops[best]), int(starts[best])
        if top + height > self.height:
            return False
        self.boxes.append(Box(top, left, height, width))
        self._filled[left : left + width + _GAP] = top + height + _GAP
        return True

    def drawn(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """The plane (1, H, W, 4) uint8: colour, and 1 in the fourth channel where a tile is, else 0.

        ``tiles``: (h, w, 3) uint8 each, in the order of ``boxes``.
        """
        plane = np.zeros((1, self.height, self.width, 4), np.uint8)
        for box, tile in zip(self.boxes, tiles, strict=True):
            part = plane[0, box.top : box.top + box.height, box.left : box.left + box.width]
            part[..., :3], part[..., 3] = tile, 1
        return plane

    def cut(self, result: np.ndarray) -> list[np.ndarray]:
        """Views of the tiles in ``result`` (1, H*scale, W*scale, 3)."""
        scale = result.shape[1] // self.height
        return [
            result[
                0,
                box.top * scale : (box.top + box.height) * scale,
                box.left * scale : (box.left + box.width) * scale,
            ]
            for box in self.boxes
        ]


def smallest(sizes: Sequence[PlaneSize], planes: Sequence[PlaneSize]) -> Atlas | None:
    """The smallest plane that holds tiles of all ``sizes``, its boxes in their order. None when none does."""
    given = list(range(len(sizes)))
    highest_first = sorted(given, key=lambda number: sizes[number], reverse=True)
    for height, width in sorted(planes, key=lambda plane: plane[0] * plane[1]):
        # the order in which they came has fitted into the largest one
        for order in (highest_first, given):
            atlas = Atlas(height, width)
            if all(atlas.add(*sizes[number]) for number in order):
                placed = dict(zip(order, atlas.boxes, strict=True))
                atlas.boxes = [placed[number] for number in given]
                return atlas
    return None


def planes_for(tile: int) -> tuple[PlaneSize, ...]:
    """Planes for one, four and eight tiles of ``tile`` pixels a side: few shapes, each a recorded graph.

    The largest one also holds two tiles of twice the side, which compute less twice at their edges.
    """
    two, four = 2 * tile + _GAP, 4 * tile + 3 * _GAP
    return (tile, tile), (two, two), (two, four)
