"""Upscaling in tiles: the output equals the untiled network's within 1/255, alpha kept, edges right."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from gpu_container.engine import UpscaleEngine
from gpu_container.kept_bands import FinishedBands, NothingKept
from gpu_container.lane import JobLane
from gpu_container.models import UpscaleModel
from gpu_container.scheduler import Scheduler
from gpu_container.settings import GpuSettings
from gpu_container.tiling import Tile, TileBand, TileGrid, TileRegion, bands

_CHANNELS_WITH_ALPHA = 4
# beside a visible pixel this many are computed too, so that no viewer's filter finds black next to it
_FRINGE = 4
# bicubic interpolation looks two pixels far
_FILTER_REACH = 2
_BLEED_ROWS = 1024
# smallest side after out-of-memory halvings, input pixels
MIN_TILE = 96
# row bands that are computed while an earlier one is encoded
_BANDS_AHEAD = 1
_THIN = 4
_FRAME = 10


@dataclass(frozen=True)
class UpscaledPicture:
    """The picture (H*scale, W*scale, 3 or 4) uint8, and how many tiles the network computed."""

    pixels: np.ndarray
    tiles: int


class Upscaler:
    """One network behind a scheduler; safe between threads."""

    def __init__(
        self, model: UpscaleModel, engine: UpscaleEngine, scheduler: Scheduler, settings: GpuSettings
    ) -> None:
        self.model = model
        self.engine = engine
        self.scheduler = scheduler
        self._settings = settings
        scheduler.use(engine, self._most_pixels)

    def bands(
        self, pixels: np.ndarray, lane: JobLane, kept: FinishedBands | None = None
    ) -> Generator[np.ndarray]:
        """Upscale ``pixels`` (H, W, 3 or 4) uint8: yields (rows, W*scale, 3 or 4) from top to bottom.

        Finished bands are ``kept``, and those that an earlier work has kept are not computed. Raises
        ``OutOfMemoryError`` after the smallest tile, ``DeadlineExceededError``, ``DeviceFailedError``,
        ``ServiceStoppingError``.
        """
        framed, frame = _framed(pixels)
        if frame:
            inner = slice(frame * self.model.scale, -frame * self.model.scale)
            whole = np.concatenate(list(self._bands(framed, lane, NothingKept())))
            yield whole[inner, inner]
            return
        yield from self._bands(pixels, lane, kept or NothingKept())

    def _bands(self, pixels: np.ndarray, lane: JobLane, kept: FinishedBands) -> Iterator[np.ndarray]:
        job = _Job(pixels, self.model, self._smallest(self.engine.tile_step))
        plan = self._plan(pixels)
        lane.left = sum(tile.pixels for band in plan if not kept.has(band) for tile in band.tiles)
        lane.total = sum(len(band.tiles) for band in plan)
        self.scheduler.enter(lane)
        try:
            yield from self._run(job, plan, lane, kept)
        finally:
            self.scheduler.leave(lane)

    def upscale(self, pixels: np.ndarray, deadline: float) -> UpscaledPicture:
        """The whole picture at once. ``deadline``: time.monotonic() seconds. Raises what ``bands`` raises."""
        lane = JobLane(deadline)
        whole = np.concatenate(list(self.bands(pixels, lane)))
        return UpscaledPicture(whole, lane.computed)

    def _run(
        self, job: _Job, plan: list[TileBand], lane: JobLane, kept: FinishedBands
    ) -> Iterator[np.ndarray]:
        ahead: deque[_Canvas] = deque()
        for band in plan:
            ahead.append(self._begun(job, band, lane, kept))
            if len(ahead) > _BANDS_AHEAD:
                yield _finished(ahead.popleft(), lane, kept)
        while ahead:
            yield _finished(ahead.popleft(), lane, kept)

    def _begun(self, job: _Job, band: TileBand, lane: JobLane, kept: FinishedBands) -> _Canvas:
        """The band as an earlier work has left it, or with its tiles at the device."""
        rows = kept.take(band, job.shape(band)) if kept.has(band) else None
        if rows is not None:
            lane.resumed += len(band.tiles)
            return _Canvas(band, rows)
        canvas = job.canvas(band)
        self.scheduler.put(lane, canvas.work)
        return canvas

    @property
    def planes(self) -> list[tuple[int, int]]:
        """The engine's planes that fit into its memory as it was seen last."""
        most = self._most_pixels()
        return [(height, width) for height, width in self.engine.planes if height * width <= most]

    def _most_pixels(self) -> int:
        """Of one batch, from free memory and the model's appetite."""
        free = self.scheduler.memory.free
        settings = self._settings
        bytes_free = settings.memory.cpu_gb * 1e9 if free is None else free * settings.memory.share
        fitting = int(bytes_free / self.model.bytes_per_pixel(self.engine.precision))
        return min(fitting, self.engine.useful_pixels)

    def _plan(self, pixels: np.ndarray) -> list[TileBand]:
        """The cheapest of a few tile sizes: small tiles skip more of what is transparent."""
        height, width, channels = pixels.shape
        step, overlap = self.engine.tile_step, self.model.overlap
        smallest = self._smallest(step)
        fitting = int(self._most_pixels() ** 0.5) // step * step
        largest = max(smallest, min(self._largest_tile(), fitting))
        if channels != _CHANNELS_WITH_ALPHA:
            whole = TileRegion(0, height, 0, width)
            return bands(height, TileGrid(largest, overlap, step), whole, lambda _: True)
        visible = _Visible(pixels[..., 3], overlap)
        sizes = [size for size in (largest, largest // 2, largest // 4) if size >= smallest]
        plans = [
            bands(height, TileGrid(size, overlap, step), visible.region, visible.in_tile) for size in sizes
        ]
        return min(plans, key=lambda plan: sum(tile.pixels for band in plan for tile in band.tiles))

    def _largest_tile(self) -> int:
        """The setting, or more where a plane has room for it: larger tiles compute less twice."""
        return max(map(min, self.planes), default=self._settings.memory.tile)

    def _smallest(self, step: int) -> int:
        return max(MIN_TILE, 2 * self.model.overlap + step)


class _Visible:
    """Where a matte (H, W) uint8 is not zero."""

    def __init__(self, alpha: np.ndarray, overlap: int) -> None:
        height, width = alpha.shape
        self._counts = cv2.integral((alpha > 0).astype(np.uint8))
        left, top, columns, rows = cv2.boundingRect((alpha > 0).astype(np.uint8))
        reach = overlap + _FRINGE
        self.region = (
            TileRegion(
                max(0, top - reach),
                min(height, top + rows + reach),
                max(0, left - reach),
                min(width, left + columns + reach),
            )
            if rows
            else None
        )

    def in_tile(self, tile: Tile) -> bool:
        """True when anything is visible in the pixels that the tile keeps, or just beside them."""
        top, left = max(0, tile.rows.keep_from - _FRINGE), max(0, tile.columns.keep_from - _FRINGE)
        height, width = self._counts.shape
        bottom = min(height - 1, tile.rows.keep_to + _FRINGE)
        right = min(width - 1, tile.columns.keep_to + _FRINGE)
        counts = self._counts
        visible = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
        return bool(visible > 0)


class _Job:
    """One picture: what the network reads, and the canvases it writes."""

    def __init__(self, pixels: np.ndarray, model: UpscaleModel, smallest: int) -> None:
        self.model = model
        self.smallest = smallest
        self.channels = pixels.shape[2]
        self.alpha: np.ndarray | None = None
        self.colour = pixels
        if self.channels == _CHANNELS_WITH_ALPHA:
            self.alpha = np.ascontiguousarray(pixels[..., 3])
            self.colour = bleed(pixels)

    def shape(self, band: TileBand) -> tuple[int, int, int]:
        """Of a band of the output."""
        scale = self.model.scale
        return (band.end - band.start) * scale, self.colour.shape[1] * scale, self.channels

    def canvas(self, band: TileBand) -> _Canvas:
        """An empty band, its matte filtered already, and the work that fills it."""
        scale = self.model.scale
        out = np.zeros(self.shape(band), np.uint8)
        if self.alpha is not None:
            out[..., 3] = resize_rows(self.alpha, band.start, band.end, scale)
        canvas = _Canvas(band, out)
        for tile in band.tiles:
            canvas.add(_TileWork(self, canvas, tile, tile.read(self.colour)))
        return canvas


@dataclass
class _Canvas:
    """A band of the output that is being filled."""

    band: TileBand
    out: np.ndarray
    work: list[_TileWork] = field(default_factory=list)
    pending: int = 0

    def add(self, work: _TileWork) -> None:
        """One more tile to wait for."""
        self.work.append(work)
        self.pending += 1


@dataclass(frozen=True)
class _TileWork:
    """One tile of a canvas, whose colour it fills."""

    job: _Job
    canvas: _Canvas
    tile: Tile
    pixels: np.ndarray

    def deliver(self, result: np.ndarray) -> None:
        rows, columns, scale = self.tile.rows, self.tile.columns, self.job.model.scale
        top, left = (rows.keep_from - rows.start) * scale, (columns.keep_from - columns.start) * scale
        height, width = (rows.keep_to - rows.keep_from) * scale, (columns.keep_to - columns.keep_from) * scale
        y, x = (rows.keep_from - self.canvas.band.start) * scale, columns.keep_from * scale
        kept = result[top : top + height, left : left + width, :3]
        self.canvas.out[y : y + height, x : x + width, :3] = kept
        self.canvas.pending -= 1

    def halves(self) -> Sequence[_TileWork]:
        halves = self.tile.halves(self.job.model.overlap, self.job.smallest)
        if halves is None:
            return ()
        self.canvas.pending += 1
        rows, columns = self.tile.rows.start, self.tile.columns.start
        return [
            _TileWork(
                self.job,
                self.canvas,
                half,
                self.pixels[
                    half.rows.start - rows : half.rows.end - rows,
                    half.columns.start - columns : half.columns.end - columns,
                ],
            )
            for half in halves
        ]


def _framed(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """A picture of a few pixels in a frame of its own border, and the frame's width; others as they are.

    Surrounded by the network's padding alone, the colour of one pixel comes out wrong by 40 of 255.
    """
    if min(pixels.shape[:2]) >= _THIN:
        return pixels, 0
    edges = (_FRAME, _FRAME, _FRAME, _FRAME)
    return cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_REPLICATE), _FRAME


def _finished(canvas: _Canvas, lane: JobLane, kept: FinishedBands) -> np.ndarray:
    lane.wait(lambda: canvas.pending == 0)
    kept.keep(canvas.band, canvas.out)
    return canvas.out


def bleed(pixels: np.ndarray) -> np.ndarray:
    """The colour (H, W, 3) with every transparent pixel given the colour of the nearest visible one.

    The network and every later filter look across the cut-out's edge; what they see there must not be
    the black or the old background of transparent pixels, or a fringe appears. Worked on in strips, so
    that memory does not grow with the picture; strips overlap by more than any network looks.
    """
    height = len(pixels)
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, height, _BLEED_ROWS):
        bottom = min(top + _BLEED_ROWS, height)
        first, last = max(0, top - _BLEED_ROWS // 4), min(height, bottom + _BLEED_ROWS // 4)
        out[top:bottom] = _bleed_strip(pixels[first:last])[top - first : bottom - first]
    return out


def _bleed_strip(pixels: np.ndarray) -> np.ndarray:
    colour, alpha = pixels[..., :3], pixels[..., 3]
    hidden = (alpha == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return colour
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    visible = hidden == 0
    nearest = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    nearest[labels[visible]] = colour[visible]
    return nearest[labels]


def resize_rows(plane: np.ndarray, start: int, end: int, scale: int) -> np.ndarray:
    """Rows ``start..end`` of ``plane`` (H, W) resized by bicubic interpolation, as if all were resized.

    OpenCV clips overshoot, so that flat areas stay exactly what they are.
    """
    first, last = max(0, start - _FILTER_REACH), min(len(plane), end + _FILTER_REACH)
    part = plane[first:last]
    size = (part.shape[1] * scale, part.shape[0] * scale)
    resized = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    return resized[(start - first) * scale : (end - first) * scale]
