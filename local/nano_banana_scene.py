"""Scenes for the simulator: a wall, a table, soft light, and the cut-out standing on it with a shadow."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

_WORKING_SIDE = 768
_HORIZON = 0.62
_SUBJECT_SHARE = 0.62


def compose(cutout: Image.Image, prompt: str, size: tuple[int, int], seed: int | None = None) -> bytes:
    """The cut-out (RGBA) on a scene of ``size`` that depends on prompt and seed alone; PNG bytes."""
    scene = _empty_scene(prompt, size, seed).copy()
    subject = _fit(cutout.convert("RGBA"), size)
    left = (size[0] - subject.width) // 2
    foot = round(size[1] * (_HORIZON + 0.26))
    top = min(max(0, foot - subject.height), size[1] - subject.height)
    _contact_shadow(scene, subject, left, top)
    _reflection(scene, subject, left, top)
    scene.paste(subject, (left, top), subject)
    buffer = io.BytesIO()
    scene.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=2)
def _empty_scene(prompt: str, size: tuple[int, int], seed: int | None) -> Image.Image:
    """Cached, because many jobs use the same scene, and it is half of the work."""
    said = prompt if seed is None else f"{prompt} {seed}"
    number = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
    return _background(np.random.default_rng(number), size)


def _background(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Wall and table, computed small and scaled up: both are soft, and a 4K scene stays cheap."""
    width, height = size
    factor = min(1.0, _WORKING_SIDE / max(size))
    columns, rows = max(16, round(width * factor)), max(16, round(height * factor))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = x / columns, y / rows
    light_x, light_y = random.uniform(0.1, 0.4), random.uniform(0.05, 0.3)
    light = np.exp(-((x - light_x) ** 2 * 2.2 + (y - light_y) ** 2 * 2.8))
    wall = _wall_colour(random) * (0.62 + 0.45 * light[..., None])
    table = _table(random, x, y) * (0.6 + 0.5 * np.exp(-((x - light_x) ** 2) * 1.5))[..., None]
    blend = np.clip((y - _HORIZON) * rows / 3.0 + 0.5, 0, 1)[..., None]
    picture = wall * (1 - blend) + table * blend
    edge_shade = np.exp(-np.abs(y - _HORIZON) * 28)[..., None]
    picture = picture * (1 - 0.18 * edge_shade) + random.normal(0, 1.2, (rows, columns, 1))
    small = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGB")
    return small.resize(size, Image.Resampling.BICUBIC)


def _wall_colour(random: np.random.Generator) -> np.ndarray:
    palette = np.array(
        [[222, 214, 200], [196, 208, 214], [205, 214, 198], [226, 203, 190], [190, 190, 205]], np.float32
    )
    colour: np.ndarray = palette[random.integers(len(palette))] + random.normal(0, 5, 3)
    return colour


def _table(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Planks that run towards a vanishing point, with grain along them."""
    palette = np.array([[176, 128, 84], [150, 104, 66], [198, 158, 112], [122, 88, 62]], np.float32)
    base = palette[random.integers(len(palette))]
    depth = np.clip(y - _HORIZON + 0.12, 0.02, None)
    across = (x - 0.5) / depth
    plank = np.floor(across * 1.6)
    tone = np.sin(plank * 12.9898 + float(random.uniform(0, 6))) * 0.06
    waves = np.sin(across * 46 + 5 * np.sin(1 / depth * 0.9 + plank))
    grain = 0.05 * waves + 0.03 * np.sin(across * 171 + plank * 3)
    seam = np.exp(-(((across * 1.6) % 1.0) * 40)) * 0.35
    shade = 1 + tone + grain - seam
    planks: np.ndarray = base * shade[..., None]
    return planks


def _fit(cutout: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Crop to what is visible and scale it to its share of the scene."""
    box = cutout.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    visible = cutout.crop(box) if box else cutout
    factor = _SUBJECT_SHARE * min(size[0] / visible.width, size[1] / visible.height)
    target = (max(1, round(visible.width * factor)), max(1, round(visible.height * factor)))
    return visible.convert("RGBa").resize(target, Image.Resampling.LANCZOS).convert("RGBA")


def _contact_shadow(scene: Image.Image, subject: Image.Image, left: int, top: int) -> None:
    """A wide soft shadow, and a narrow dark one where the subject touches the table."""
    alpha = subject.getchannel("A")
    for flat, blur, strength, shift in ((0.30, 0.045, 0.42, 0.05), (0.10, 0.012, 0.5, 0.0)):
        height = max(2, round(subject.height * flat))
        shape = alpha.resize((subject.width, height), Image.Resampling.BILINEAR)
        layer = Image.new("L", scene.size, 0)
        offset = round(subject.width * shift)
        layer.paste(shape, (left + offset, top + subject.height - round(height * 0.62)))
        layer = _blurred(layer, max(1.0, subject.width * blur)).point(lambda v, s=strength: int(v * s))
        scene.paste(Image.new("RGB", scene.size, (18, 12, 8)), (0, 0), layer)


def _blurred(layer: Image.Image, radius: float) -> Image.Image:
    """Gaussian blur; a wide one is made on a smaller copy, which looks the same and costs less."""
    factor = max(1, int(radius // 4))
    if factor == 1:
        return layer.filter(ImageFilter.GaussianBlur(radius))
    small = layer.reduce(factor).filter(ImageFilter.GaussianBlur(radius / factor))
    return small.resize(layer.size, Image.Resampling.BICUBIC)


def _reflection(scene: Image.Image, subject: Image.Image, left: int, top: int) -> None:
    height = subject.height // 6
    if height < 2:
        return
    mirrored = subject.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, 0, subject.width, height))
    fade = Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(mirrored.size)
    alpha = np.asarray(mirrored.getchannel("A"), np.float32) * np.asarray(fade, np.float32) / 255 * 0.12
    mask = Image.fromarray(alpha.astype(np.uint8), "L")
    scene.paste(mirrored.convert("RGB"), (left, top + subject.height), mask)
