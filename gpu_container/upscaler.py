"""Upscaling in tiles: the output equals the untiled network's within 1/255, alpha kept, edges right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from gpu_container.errors import DeadlineExceeded, OutOfMemory
from gpu_container.models import UpscaleModel
from gpu_container.settings import AlphaMethod
from gpu_container.tiling import Tile, tiles

_CHANNELS_WITH_ALPHA = 4


@dataclass(frozen=True)
class Upscaled:
    """The picture (H*scale, W*scale, 3 or 4) uint8, and how many tiles the network computed."""

    pixels: np.ndarray
    tiles: int


class Upscaler:
    """One network on one device. Not safe between threads: one thread owns the device."""

    def __init__(
        self,
        model: UpscaleModel,
        network: nn.Module,
        device: torch.device,
        *,
        tile: int,
        min_tile: int,
        alpha: AlphaMethod,
    ) -> None:
        self.model = model
        self.device = device
        self._dtype = torch.float16 if device.type == "cuda" else torch.float32
        self._network = network.to(dtype=self._dtype, memory_format=torch.channels_last)
        self._tile = tile
        self._min_tile = max(min_tile, 2 * model.overlap + model.align)
        self._alpha = alpha

    def upscale(self, pixels: np.ndarray, deadline: float) -> Upscaled:
        """Upscale ``pixels`` (H, W, 3 or 4) uint8. ``deadline``: time.monotonic() seconds.

        Raises ``OutOfMemory`` after the smallest tile, ``DeadlineExceeded``.
        """
        if pixels.shape[2] != _CHANNELS_WITH_ALPHA:
            colour, count = self._in_tiles(pixels, None, deadline)
            return Upscaled(colour, count)
        alpha = pixels[..., 3]
        colour, count = self._in_tiles(bleed(pixels), alpha > 0, deadline)
        matte, more = self._matte(alpha, deadline)
        return Upscaled(np.dstack([colour, matte]), count + more)

    def untiled(self, colour: np.ndarray) -> np.ndarray:
        """The network on the whole picture (H, W, 3) at once: the reference of the tests."""
        return self._run(colour)

    def _matte(self, alpha: np.ndarray, deadline: float) -> tuple[np.ndarray, int]:
        if self._alpha is AlphaMethod.FILTER or alpha.min() == alpha.max():
            return _resize(alpha, self.model.scale), 0
        grey = np.repeat(alpha[..., None], 3, axis=2)
        edges = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        matte, count = self._in_tiles(grey, edges, deadline)
        return matte[..., 0], count

    def _in_tiles(
        self, colour: np.ndarray, needed: np.ndarray | None, deadline: float
    ) -> tuple[np.ndarray, int]:
        """All tiles, halving the tile when memory runs out; tiles without a ``needed`` pixel are resized."""
        tile = self._tile
        while True:
            try:
                return self._pass(colour, needed, deadline, tile)
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                if tile // 2 < self._min_tile:
                    message = f"not even a tile of {tile} px fits into the device's memory"
                    raise OutOfMemory(message) from error
                tile //= 2

    def _pass(
        self, colour: np.ndarray, needed: np.ndarray | None, deadline: float, tile: int
    ) -> tuple[np.ndarray, int]:
        height, width, _ = colour.shape
        scale, model = self.model.scale, self.model
        out = np.empty((height * scale, width * scale, 3), np.uint8)
        computed = 0
        for each in tiles(height, width, tile, model.overlap, model.align):
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the caller's deadline passed while tiles were computed")
            if needed is None or _any(needed, each):
                source: Callable[[np.ndarray], np.ndarray] = self._run
                computed += 1
            else:
                source = self._plain
            _keep(out, source(_read(colour, each)), each, scale)
        return out, computed

    def _run(self, colour: np.ndarray) -> np.ndarray:
        """The network on (H, W, 3) uint8; rounding and clipping happen on the device."""
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(colour)).to(self.device)
            batch = given.permute(2, 0, 1)[None].to(self._dtype).div_(255)
            result = self._network(batch.contiguous(memory_format=torch.channels_last))
            steps = result[0].float().mul_(255).round_().clamp_(0, 255).to(torch.uint8)
            return steps.permute(1, 2, 0).cpu().numpy()

    def _plain(self, colour: np.ndarray) -> np.ndarray:
        return _resize(colour, self.model.scale)


def bleed(pixels: np.ndarray) -> np.ndarray:
    """The colour (H, W, 3) with every transparent pixel given the colour of the nearest visible one.

    The network and every later filter look across the cut-out's edge; what they see there must not be
    the black or the old background of transparent pixels, or a fringe appears.
    """
    colour, alpha = pixels[..., :3], pixels[..., 3]
    hidden = (alpha == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return np.ascontiguousarray(colour)
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    visible = hidden == 0
    nearest = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    nearest[labels[visible]] = colour[visible]
    return nearest[labels]


def _resize(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic; OpenCV clips overshoot, so that flat areas stay exactly what they are."""
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)


def _read(pixels: np.ndarray, tile: Tile) -> np.ndarray:
    rows, columns = tile.rows, tile.columns
    return pixels[rows.start : rows.start + rows.size, columns.start : columns.start + columns.size]


def _any(needed: np.ndarray, tile: Tile) -> bool:
    rows, columns = tile.rows, tile.columns
    return bool(needed[rows.keep_from : rows.keep_to, columns.keep_from : columns.keep_to].any())


def _keep(out: np.ndarray, result: np.ndarray, tile: Tile, scale: int) -> None:
    rows, columns = tile.rows, tile.columns
    top, left = (rows.keep_from - rows.start) * scale, (columns.keep_from - columns.start) * scale
    height, width = (rows.keep_to - rows.keep_from) * scale, (columns.keep_to - columns.keep_from) * scale
    out[
        rows.keep_from * scale : rows.keep_to * scale, columns.keep_from * scale : columns.keep_to * scale
    ] = result[top : top + height, left : left + width]
