"""A batch: equal tiles of one or several jobs, which the device computes together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gpu_container.lane import DeviceCall, JobLane, WaitingTile


@dataclass
class TileBatch:
    """Each tile with its job."""

    items: list[tuple[JobLane, WaitingTile]]

    @property
    def pixels(self) -> int:
        """Of all tiles."""
        height, width, _ = self.items[0][1].pixels.shape
        return len(self.items) * height * width

    def fill(self, lanes: Iterable[JobLane], most: int) -> None:
        """Take equal tiles of these jobs, in this order, until there are ``most``."""
        _, first = self.items[0]
        for lane in lanes:
            while len(self.items) < most and (tile := _equal_tile(lane, first)) is not None:
                lane.waiting.popleft()
                self.items.append((lane, tile))


def _equal_tile(lane: JobLane, first: WaitingTile) -> WaitingTile | None:
    """The next tile of the lane, if it fits into a batch with ``first``."""
    tile = lane.waiting[0] if lane.waiting else None
    if tile is None or isinstance(tile, DeviceCall) or tile.pixels.shape != first.pixels.shape:
        return None
    return tile
