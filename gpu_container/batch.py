"""A batch: tiles of one or several jobs that the device computes together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpu_container.atlas import Atlas, PlaneSize, smallest
from gpu_container.lane import DeviceCall, JobLane, WaitingTile


@dataclass
class TileBatch:
    """Each tile with its job.

    ``planes``: sizes of the planes in which tiles of any size are put side by side. Without them, or where a
    tile fits into none, a batch holds tiles of one size.
    """

    items: list[tuple[JobLane, WaitingTile]]
    planes: Sequence[PlaneSize] = ()

    @property
    def pixels(self) -> int:
        """Of all tiles."""
        return sum(height * width for height, width in self._sizes())

    @property
    def computed_pixels(self) -> int:
        """What the device computes: the whole plane, if there is one."""
        atlas = self._atlas()
        return self.pixels if atlas is None else atlas.pixels

    def fill(self, lanes: Iterable[JobLane], most: int) -> None:
        """Take tiles of these jobs, in this order: as many as fit into a plane, or ``most`` equal ones."""
        largest = max(self.planes, key=lambda plane: plane[0] * plane[1], default=(0, 0))
        atlas = Atlas(*largest)
        if atlas.add(*next(self._sizes())):
            self._fill_plane(lanes, atlas)
        else:
            self._fill_equal(lanes, most)

    def drawn(self) -> np.ndarray:
        """What the engine takes: (N, H, W, 3) uint8, or a plane (1, H, W, 4)."""
        tiles = [work.pixels for _, work in self.items]
        atlas = self._atlas()
        return np.stack(tiles) if atlas is None else atlas.drawn(tiles)

    def cut(self, result: np.ndarray) -> Iterable[np.ndarray]:
        """The upscaled tiles in what the engine returned for ``drawn``."""
        atlas = self._atlas()
        return result if atlas is None else atlas.cut(result)

    def _sizes(self) -> Iterator[PlaneSize]:
        for _, work in self.items:
            height, width, _ = work.pixels.shape
            yield height, width

    def _atlas(self) -> Atlas | None:
        return smallest(list(self._sizes()), self.planes)

    def _fill_plane(self, lanes: Iterable[JobLane], atlas: Atlas) -> None:
        for lane in lanes:
            while (tile := _next_tile(lane)) is not None and atlas.add(*tile.pixels.shape[:2]):
                lane.waiting.popleft()
                self.items.append((lane, tile))

    def _fill_equal(self, lanes: Iterable[JobLane], most: int) -> None:
        _, first = self.items[0]
        for lane in lanes:
            while (
                len(self.items) < most
                and (tile := _next_tile(lane)) is not None
                and tile.pixels.shape == first.pixels.shape
            ):
                lane.waiting.popleft()
                self.items.append((lane, tile))


def _next_tile(lane: JobLane) -> WaitingTile | None:
    """The next tile of the lane; None when it has none, or something else is next."""
    first = lane.waiting[0] if lane.waiting else None
    return None if isinstance(first, DeviceCall) else first
