"""What the subject of a simulated picture stands on, seen in perspective: wood, marble, sand, snow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

HORIZON = 0.62
# how far behind the horizon the vanishing point lies
_BEHIND = 0.12
# the tile of noise: so many spots on a side, each of so many pixels
_SPOTS, _SPOT, _RIM = 32, 24, 3
Pixels = np.ndarray


@dataclass
class Canvas:
    """A scene in the making: float pixels, ``x`` and ``y`` from 0 to 1, and its own chance."""

    columns: int
    rows: int
    random: np.random.Generator
    light_x: float = 0.3
    x: Pixels = field(init=False)
    y: Pixels = field(init=False)

    def __post_init__(self) -> None:
        down, across = np.mgrid[0 : self.rows, 0 : self.columns].astype(np.float32)
        self.x, self.y = across / self.columns, down / self.rows

    @cached_property
    def depth(self) -> Pixels:
        """Nearness on the ground: small at the horizon, larger towards the viewer."""
        return np.clip(self.y - HORIZON + _BEHIND, 0.02, None)

    @cached_property
    def across(self) -> Pixels:
        """Ground coordinate from left to right."""
        across: Pixels = (self.x - 0.5) * (self.columns / self.rows) / self.depth
        return across

    @cached_property
    def along(self) -> Pixels:
        """Ground coordinate away from the viewer."""
        return 1 / self.depth

    @cached_property
    def _tile(self) -> Pixels:
        coarse = self.random.normal(0, 1, (_SPOTS, _SPOTS)).astype(np.float32)
        # with a rim of its other side, so that the tile has no seam
        rimmed = Image.fromarray(np.pad(coarse, _RIM, mode="wrap"))
        side = (_SPOTS + 2 * _RIM) * _SPOT
        inner = slice(_RIM * _SPOT, (_RIM + _SPOTS) * _SPOT)
        return np.asarray(rimmed.resize((side, side), Image.Resampling.BICUBIC))[inner, inner]

    def texture(self, u: Pixels, v: Pixels) -> Pixels:
        """Smooth noise at ground coordinates, about from -1 to 1; its spots have the size 1."""
        side = _SPOTS * _SPOT
        return self._tile[(v * _SPOT).astype(np.int32) % side, (u * _SPOT).astype(np.int32) % side]

    def noise(self, wide: float, high: float) -> Pixels:
        """Smooth noise in the picture's plane, about from -1 to 1, with spots of so many pixels."""
        size = max(2, round(self.columns / wide)), max(2, round(self.rows / high))
        small = self.random.normal(0, 0.6, size[::-1]).astype(np.float32)
        return np.asarray(Image.fromarray(small).resize((self.columns, self.rows), Image.Resampling.BICUBIC))


def colour(*rgb: float) -> Pixels:
    """A colour as an array."""
    return np.array(rgb, np.float32)


def lit(rgb: Pixels, light: Pixels) -> Pixels:
    """A colour, or pixels, as bright as ``light`` says at each place."""
    bright: Pixels = rgb * light[..., None]
    return bright


def blend(under: Pixels, over: Pixels, share: Pixels) -> Pixels:
    """``over`` where ``share`` is 1, ``under`` where it is 0."""
    mixed: Pixels = under * (1 - share) + over * share
    return mixed


def planks(base: Pixels, canvas: Canvas) -> Pixels:
    """Planks that run towards a vanishing point, with grain along them."""
    across, depth = (canvas.x - 0.5) / canvas.depth, canvas.depth
    plank = np.floor(across * 1.6)
    tone = np.sin(plank * 12.9898 + float(canvas.random.uniform(0, 6))) * 0.06
    waves = np.sin(across * 46 + 5 * np.sin(1 / depth * 0.9 + plank))
    grain = 0.05 * waves + 0.03 * np.sin(across * 171 + plank * 3)
    seam = np.exp(-(((across * 1.6) % 1.0) * 40)) * 0.35
    return lit(base, 1 + tone + grain - seam)


def any_wood(canvas: Canvas) -> Pixels:
    """Planks of a wood that chance picks."""
    palette = [(176, 128, 84), (150, 104, 66), (198, 158, 112), (122, 88, 62)]
    return planks(colour(*palette[canvas.random.integers(len(palette))]), canvas)


def _oak(canvas: Canvas) -> Pixels:
    return planks(colour(206, 168, 118), canvas)


def _walnut(canvas: Canvas) -> Pixels:
    return planks(colour(98, 64, 44), canvas)


def _marble(canvas: Canvas) -> Pixels:
    u, v = canvas.across, canvas.along
    warp = 0.8 * canvas.noise(190, 60) + 0.35 * canvas.noise(60, 20)
    vein = np.exp(-np.abs(np.sin(u * 1.7 + v * 1.1 + warp * 1.6)) * 11)
    fine = np.exp(-np.abs(np.sin(u * 3.1 - v * 2.3 + warp * 2.6)) * 26)
    cloud = canvas.noise(240, 90)
    return lit(colour(240, 239, 237), 1 - vein * 0.32 - fine * 0.17 - cloud * 0.025)


def _linen(canvas: Canvas) -> Pixels:
    u, v = canvas.across, canvas.along
    near = np.clip((canvas.depth - 0.14) / 0.2, 0, 1)
    threads = np.sin(u * 330) + np.sin(canvas.y * canvas.rows * 1.15)
    slubs = canvas.noise(14, 1.6) + canvas.noise(1.6, 14)
    folds = np.sin(u * 2.6 + canvas.texture(u * 0.6, v * 0.6) * 1.4)
    shade = 1 + near * (0.035 * threads + 0.04 * slubs) + 0.055 * folds
    return lit(colour(228, 217, 195), shade)


def _concrete(canvas: Canvas) -> Pixels:
    return _cast(canvas, colour(164, 163, 160))


def _stone(canvas: Canvas) -> Pixels:
    return _cast(canvas, colour(86, 89, 95))


def _cast(canvas: Canvas, base: Pixels) -> Pixels:
    u, v = canvas.across, canvas.along
    mottled = 0.05 * canvas.texture(u * 1.4, v * 1.4) + 0.05 * canvas.texture(u * 5, v * 5)
    pores = 0.3 * (canvas.noise(3, 2) > 1.05)
    joints = np.exp(-np.abs((u * 0.55 + 0.5) % 1 - 0.5) * 160) + np.exp(-np.abs(v % 2 - 1) * 60)
    return lit(base, 1 + mottled - pores - 0.35 * np.clip(joints, 0, 1))


def _sand(canvas: Canvas) -> Pixels:
    u, v = canvas.across, canvas.along
    ripples = np.sin(v * 9 + u * 1.2 + canvas.texture(u * 0.8, v * 0.8) * 2.2)
    grains = canvas.random.normal(0, 0.035, canvas.x.shape)
    return lit(colour(222, 196, 150), 1 + 0.05 * ripples + grains)


def _grass(canvas: Canvas) -> Pixels:
    near = np.clip((canvas.depth - 0.1) * 3, 0.15, 1)
    blades = near * canvas.noise(2.2, 16) + (1 - near) * canvas.noise(2, 4)
    patches = 0.35 * canvas.texture(canvas.across * 0.7, canvas.along * 0.7)
    tone = np.clip(0.5 + 0.55 * blades + patches * 0.6, 0, 1)[..., None]
    return blend(colour(40, 82, 26), colour(140, 182, 74), tone)


def _snow(canvas: Canvas) -> Pixels:
    u, v = canvas.across, canvas.along
    mounds = canvas.texture(u * 0.8, v * 0.5) + 0.4 * canvas.texture(u * 2.5, v * 1.8)
    glitter = 16 * (canvas.random.random(canvas.x.shape) > 0.997)
    # hollows are blue
    hollow: Pixels = colour(234, 241, 250) + (mounds * 9)[..., None] * colour(1, 0.8, 0.45)
    hollow += glitter[..., None]
    return hollow


SURFACES: dict[str, Callable[[Canvas], Pixels]] = {
    "oak": _oak,
    "walnut": _walnut,
    "wood": any_wood,
    "marble": _marble,
    "linen": _linen,
    "concrete": _concrete,
    "stone": _stone,
    "sand": _sand,
    "grass": _grass,
    "snow": _snow,
}
