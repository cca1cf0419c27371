"""Scenes for the simulator: a place, a surface, light, and the cut-out standing there with its shadow."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from local.nano_banana_backdrops import BACKDROPS, city_lights, window_light
from local.nano_banana_mark import mark
from local.nano_banana_surfaces import HORIZON, SURFACES, Canvas, Pixels, any_wood, blend, colour, lit
from local.nano_banana_words import SceneWords, read_scene

_WORKING_SIDE = 768
# of a narrow picture
_WORKING_WIDTH = 256
_SUBJECT_SHARE = 0.62
_GROUND_OF = {
    "beach": "sand",
    "dunes": "sand",
    "forest": "grass",
    "meadow": "grass",
    "winter": "snow",
    "kitchen": "oak",
}
_SHINY = frozenset({"", "oak", "walnut", "wood", "marble", "stone"})
_GROUND_LIGHT = {"": (1.0, 1.0, 1.0), "sunset": (1.06, 0.84, 0.66), "night": (0.3, 0.33, 0.46)}


def compose(cutout: Image.Image, prompt: str, size: tuple[int, int], seed: int | None = None) -> bytes:
    """The cut-out (RGBA) on a scene of ``size`` that depends on prompt and seed alone; PNG bytes."""
    words = read_scene(prompt)
    scene = _empty_scene(prompt, size, seed).copy()
    subject = _fit(cutout.convert("RGBA"), size)
    left = (size[0] - subject.width) // 2
    foot = round(size[1] * (HORIZON + 0.26))
    top = min(max(0, foot - subject.height), size[1] - subject.height)
    _contact_shadow(scene, subject, left, top, side=-words.light or 1)
    if _ground(words) in _SHINY:
        _reflection(scene, subject, left, top)
    scene.paste(subject, (left, top), subject)
    mark(scene)
    comment = PngInfo()
    comment.add_text("Comment", "Simulated picture: no image model has made it.")
    buffer = io.BytesIO()
    scene.save(buffer, "PNG", compress_level=1, pnginfo=comment)
    return buffer.getvalue()


def _ground(words: SceneWords) -> str:
    return words.surface or _GROUND_OF.get(words.place, "")


@lru_cache(maxsize=2)
def _empty_scene(prompt: str, size: tuple[int, int], seed: int | None) -> Image.Image:
    """Cached, because many jobs use the same scene, and it is most of the work.

    Computed small and scaled up: what is behind the subject is soft, and a 4K scene stays cheap.
    """
    said = prompt if seed is None else f"{prompt} {seed}"
    number = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
    factor = min(1.0, max(_WORKING_SIDE / max(size), _WORKING_WIDTH / min(size)))
    canvas = Canvas(
        max(16, round(size[0] * factor)), max(16, round(size[1] * factor)), np.random.default_rng(number)
    )
    picture = _background(canvas, read_scene(prompt))
    picture = picture + canvas.random.normal(0, 1.2, (canvas.rows, canvas.columns, 1))
    small = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGB")
    return small.resize(size, Image.Resampling.BICUBIC)


def _background(canvas: Canvas, words: SceneWords) -> Pixels:
    canvas.light_x, light_y = float(canvas.random.uniform(0.1, 0.4)), float(canvas.random.uniform(0.05, 0.3))
    if words.light:
        canvas.light_x = 0.5 + 0.42 * words.light
    elif words.place and words.time:
        # sun and moon are seen: beside the subject, which stands in the middle
        canvas.light_x *= 0.5
    if words.place in BACKDROPS:
        return _outside(canvas, words)
    wall = _wall(canvas, words, light_y)
    if words.place == "studio" and not words.surface:
        return _seamless(canvas, words)
    pool = (0.6 + 0.5 * np.exp(-((canvas.x - canvas.light_x) ** 2) * 1.5))[..., None]
    table = SURFACES.get(words.surface, any_wood)(canvas) * pool * colour(*_GROUND_LIGHT[words.time])
    share = np.clip((canvas.y - HORIZON) * canvas.rows / 3.0 + 0.5, 0, 1)[..., None]
    edge_shade = np.exp(-np.abs(canvas.y - HORIZON) * 28)
    return lit(blend(wall, table, share), 1 - 0.18 * edge_shade)


def _wall(canvas: Canvas, words: SceneWords, light_y: float) -> Pixels:
    near = (canvas.x - canvas.light_x) ** 2 * 2.2 + (canvas.y - light_y) ** 2 * 2.8
    light = np.exp(-near)[..., None]
    paint = _wall_colour(canvas.random) if words.wall is None else colour(*words.wall)
    if words.time == "night":
        return city_lights(canvas, paint * colour(0.10, 0.12, 0.2) * (0.7 + 0.5 * light))
    wall = paint * (0.62 + 0.45 * light)
    return window_light(canvas, wall * colour(1.02, 0.84, 0.62)) if words.time == "sunset" else wall


def _outside(canvas: Canvas, words: SceneWords) -> Pixels:
    """A place with a background of its own; where it ends, its ground or the surface that is named begins."""
    behind = BACKDROPS[words.place](canvas, words.time)
    ground = SURFACES[_ground(words)](canvas) * colour(*_GROUND_LIGHT[words.time])
    if words.place == "forest" and not words.surface:
        ground = ground * colour(0.72, 0.66, 0.56)
    is_hard = words.surface not in {"", "sand", "grass"} or words.place == "kitchen"
    wobble = 0 if is_hard else 0.012 * canvas.noise(40, 4000)
    share = np.clip((canvas.y - HORIZON + wobble) * canvas.rows / (3 if is_hard else 8) + 0.5, 0, 1)[
        ..., None
    ]
    return blend(behind, ground, share)


def _seamless(canvas: Canvas, words: SceneWords) -> Pixels:
    """A studio's paper: wall and floor are one."""
    paper = colour(*(words.wall or (246, 246, 247)))
    lit = np.exp(-((canvas.x - 0.5 - (canvas.light_x - 0.5) * 0.5) ** 2 * 2.2) - (canvas.y - 0.45) ** 2 * 1.6)
    bend = 0.03 * np.exp(-(((canvas.y - HORIZON - 0.04) / 0.09) ** 2))
    picture = paper * (0.8 + 0.22 * lit - bend)[..., None]
    return picture * colour(*_GROUND_LIGHT[words.time]) if words.time else picture


def _wall_colour(random: np.random.Generator) -> Pixels:
    palette = np.array(
        [[222, 214, 200], [196, 208, 214], [205, 214, 198], [226, 203, 190], [190, 190, 205]], np.float32
    )
    painted: Pixels = palette[random.integers(len(palette))] + random.normal(0, 5, 3)
    return painted


def _fit(cutout: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Crop to what is visible and scale it to its share of the scene."""
    box = cutout.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    visible = cutout.crop(box) if box else cutout
    factor = _SUBJECT_SHARE * min(size[0] / visible.width, size[1] / visible.height)
    target = (max(1, round(visible.width * factor)), max(1, round(visible.height * factor)))
    return visible.convert("RGBa").resize(target, Image.Resampling.LANCZOS).convert("RGBA")


def _contact_shadow(scene: Image.Image, subject: Image.Image, left: int, top: int, side: int) -> None:
    """A wide soft shadow away from the light, and a narrow dark one at the foot; ``side`` 1: to the right."""
    alpha = subject.getchannel("A")
    for flat, blur, strength, shift in ((0.30, 0.045, 0.42, 0.05), (0.10, 0.012, 0.5, 0.0)):
        height = max(2, round(subject.height * flat))
        shape = alpha.resize((subject.width, height), Image.Resampling.BILINEAR)
        layer = Image.new("L", scene.size, 0)
        offset = round(subject.width * shift * side)
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
