"""What stands behind the subject of a simulated picture: a wall, the sea, trees, a kitchen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from local.nano_banana_surfaces import HORIZON, Canvas, Pixels, blend, colour, lit
from local.nano_banana_words import Colour

_SKIES: dict[str, tuple[Colour, Colour]] = {
    "": ((92, 156, 222), (214, 232, 244)),
    "sunset": ((84, 74, 132), (255, 178, 92)),
    "night": ((8, 12, 34), (38, 52, 92)),
}
_SEAS: dict[str, tuple[Colour, Colour]] = {
    "": ((36, 104, 152), (120, 200, 202)),
    "sunset": ((112, 84, 112), (236, 150, 104)),
    "night": ((10, 18, 40), (34, 56, 92)),
}
_SEA_TOP = HORIZON - 0.2


def _gradient(canvas: Canvas, top: Colour, bottom: Colour, end: float) -> Pixels:
    share = np.clip(canvas.y / end, 0, 1)[..., None]
    return colour(*top) * (1 - share) + colour(*bottom) * share


def _disc(canvas: Canvas, x: float, y: float, radius: float) -> Pixels:
    """1 inside a round disc, 0 outside; ``radius`` as a share of the smaller side."""
    side = min(canvas.columns, canvas.rows)
    away = np.hypot((canvas.x - x) * canvas.columns, (canvas.y - y) * canvas.rows) / side
    return np.clip((radius - away) * side / 2 + 0.5, 0, 1)[..., None]


def _glow(canvas: Canvas, x: float, y: float, width: float) -> Pixels:
    side = min(canvas.columns, canvas.rows)
    away = np.hypot((canvas.x - x) * canvas.columns, (canvas.y - y) * canvas.rows) / side
    return np.exp(-((away / width) ** 2))[..., None]


def sky(canvas: Canvas, time: str, end: float = HORIZON) -> Pixels:
    """Clouds by day, a low sun in the evening, moon and stars at night; it ends where ``y`` is ``end``."""
    picture = _gradient(canvas, *_SKIES[time], end)
    if time == "night":
        stars = (canvas.random.random(canvas.x.shape) > 0.9985) & (canvas.y < end * 0.95)
        picture = picture + stars[..., None] * colour(190, 200, 220)
        moon = _disc(canvas, canvas.light_x, 0.16, 0.045)
        halo = _glow(canvas, canvas.light_x, 0.16, 0.16) * colour(60, 66, 84)
        return blend(picture + halo, colour(240, 240, 226), moon)
    clouds = np.clip(canvas.noise(260, 46) + 0.5 * canvas.noise(90, 18) - 0.15, 0, 1)
    cover = (clouds * np.clip(1 - canvas.y / end, 0, 1))[..., None]
    if time == "sunset":
        picture = picture * (1 - 0.5 * cover) + colour(240, 122, 112) * 0.5 * cover
        sun_y = end - 0.075
        picture = picture + _glow(canvas, canvas.light_x, sun_y, 0.3) * colour(90, 66, 20)
        sun = _disc(canvas, canvas.light_x, sun_y, 0.06)
        return blend(picture, colour(255, 240, 190), sun)
    return picture * (1 - 0.75 * cover) + colour(252, 253, 255) * 0.75 * cover


def _beach(canvas: Canvas, time: str) -> Pixels:
    picture = sky(canvas, time, _SEA_TOP)
    share = np.clip((canvas.y - _SEA_TOP) / (HORIZON - _SEA_TOP), 0, 1)
    far, near = (colour(*each) for each in _SEAS[time])
    water = far * (1 - share[..., None]) + near * share[..., None]
    swell = canvas.noise(90, 3.0) * 0.6 + canvas.noise(30, 2.0) * 0.4
    water = water * (1 + 0.16 * swell)[..., None]
    if time:
        column = np.exp(-(((canvas.x - canvas.light_x) / (0.05 + 0.1 * share)) ** 2))
        glitter = column * np.clip(0.35 + swell, 0, 1)
        water = water + glitter[..., None] * (
            colour(150, 110, 50) if time == "sunset" else colour(90, 98, 112)
        )
    edge = HORIZON - 0.012 + 0.008 * canvas.noise(120, 4000)
    foam = np.exp(-np.abs(canvas.y - edge) * 130) + 0.6 * np.exp(-np.abs(canvas.y - edge + 0.035) * 190)
    white = colour(250, 252, 252) * (0.4 if time == "night" else 1.0)
    foam = np.clip(foam * (0.75 + 0.5 * canvas.noise(18, 5)), 0, 1)[..., None]
    water = blend(water, white, foam)
    return np.where((canvas.y > _SEA_TOP)[..., None], water, picture)


def _hills(canvas: Canvas, time: str) -> Pixels:
    picture = sky(canvas, time)
    for height, rgb, wave in ((0.1, (122, 156, 138), 5.0), (0.055, (92, 138, 72), 8.0)):
        start = float(canvas.random.uniform(0, 6))
        ridge = HORIZON - height * (
            1 + 0.5 * np.sin(canvas.x * wave + start) + 0.2 * np.sin(canvas.x * 17 + start)
        )
        below = np.clip((canvas.y - ridge) * canvas.rows / 2, 0, 1)[..., None]
        picture = blend(picture, colour(*rgb) * _daylight(time), below)
    return picture


def _dunes(canvas: Canvas, time: str) -> Pixels:
    picture = sky(canvas, time)
    for height, wave, tone in ((0.16, 4.0, 0.86), (0.07, 6.5, 1.0)):
        start = float(canvas.random.uniform(0, 6))
        crest = HORIZON - height * np.abs(np.sin(canvas.x * wave + start))
        slope = np.cos(canvas.x * wave + start) * np.sign(np.sin(canvas.x * wave + start))
        below = np.clip((canvas.y - crest) * canvas.rows / 2, 0, 1)[..., None]
        sand = lit(colour(226, 188, 132), tone * (1 + 0.16 * np.tanh(slope * 3)))
        picture = blend(picture, sand * _daylight(time), below)
    return picture


def _daylight(time: str) -> Pixels:
    return {"": colour(1, 1, 1), "sunset": colour(1.05, 0.8, 0.62), "night": colour(0.18, 0.22, 0.36)}[time]


def _forest(canvas: Canvas, time: str) -> Pixels:
    haze = np.exp(-(((canvas.x - 0.5) / 0.5) ** 2) - ((canvas.y - 0.42) / 0.4) ** 2)[..., None]
    picture = colour(26, 48, 28) * (1 - haze) + colour(186, 210, 134) * haze
    leaves = np.clip(0.5 + canvas.noise(26, 22) * 0.7 + canvas.noise(9, 8) * 0.3, 0, 1)
    crown = np.clip((0.34 - canvas.y) * 3.2 + 0.15 * canvas.noise(60, 30), 0, 0.9) * leaves
    picture = picture * (1 - crown[..., None]) + colour(34, 84, 30) * crown[..., None]
    bush = np.clip((canvas.y - HORIZON + 0.16) * 6, 0, 0.9) * np.clip(0.5 + canvas.noise(40, 20), 0, 1)
    picture = picture * (1 - bush[..., None]) + colour(46, 92, 36) * bush[..., None]
    side = min(canvas.columns, canvas.rows)
    for count, width, rgb, blur in (
        (16, 0.012, (116, 118, 84), 5),
        (9, 0.03, (72, 60, 44), 2),
        (4, 0.062, (44, 36, 28), 1),
    ):
        mask = Image.new("L", (canvas.columns, canvas.rows), 0)
        draw = ImageDraw.Draw(mask)
        for place in np.linspace(0, 1, count) + canvas.random.normal(0, 0.35 / count, count):
            half = max(1.0, width * side * canvas.random.uniform(0.35, 0.65))
            middle, lean = place * canvas.columns, canvas.random.normal(0, half)
            foot = (HORIZON + 0.6 * width) * canvas.rows
            draw.polygon(
                [
                    (middle + lean - 0.7 * half, 0),
                    (middle + lean + 0.7 * half, 0),
                    (middle + 1.2 * half, foot),
                    (middle - 1.2 * half, foot),
                ],
                fill=255,
            )
        trunk = np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), np.float32)[..., None] / 255
        bark = colour(*rgb) * (1 + 0.2 * canvas.noise(3, 60))[..., None]
        picture = blend(picture, bark, trunk)
    tinted: Pixels = picture * _daylight(time)
    return tinted


def _winter(canvas: Canvas, time: str) -> Pixels:
    pale = _gradient(canvas, (176, 200, 224), (238, 242, 246), HORIZON) if not time else sky(canvas, time)
    layer = Image.fromarray(np.clip(pale, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(layer)
    tint = _daylight(time)
    for count, height, shade in ((16, 0.2, 0.75), (8, 0.36, 0.0)):
        for place in np.linspace(0.02, 0.98, count) + canvas.random.normal(0, 0.3 / count, count):
            # room for the subject in the middle
            tall = height * canvas.random.uniform(0.75, 1.1) * (0.6 if abs(place - 0.5) < 0.2 else 1.0)
            green = (colour(58, 92, 84) * (1 - shade) + colour(206, 220, 232) * shade) * tint
            snow = (colour(240, 246, 252) * (1 - shade) + colour(236, 242, 248) * shade) * tint
            _fir(draw, (place * canvas.columns, HORIZON * canvas.rows), tall * canvas.rows, green, snow)
    soft = layer.filter(ImageFilter.GaussianBlur(1.6))
    return np.asarray(soft, np.float32)


def _fir(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], tall: float, green: Pixels, snow: Pixels
) -> None:
    x, foot = at
    for step in range(4):
        top, low = foot - tall * (1 - step * 0.2), foot - tall * (0.62 - step * 0.2)
        half = tall * (0.13 + 0.06 * step)
        draw.polygon([(x, top), (x + half, low), (x - half, low)], fill=_ink(green))
        tip = 0.45
        draw.polygon(
            [
                (x, top),
                (x + half * tip, top + (low - top) * tip),
                (x, top + (low - top) * tip * 0.7),
                (x - half * tip, top + (low - top) * tip),
            ],
            fill=_ink(snow),
        )


def _ink(rgb: Pixels) -> Colour:
    red, green, blue = (int(np.clip(each, 0, 255)) for each in rgb)
    return red, green, blue


def _kitchen(canvas: Canvas, time: str) -> Pixels:
    columns, rows = canvas.columns, canvas.rows
    layer = Image.new("RGB", (columns, rows), (236, 231, 220))
    draw = ImageDraw.Draw(layer)
    side, foot = min(columns, rows), HORIZON * rows
    tile_h, tile_w = side * 0.062, side * 0.125
    # tiles above the counter
    for row in range(int(foot / tile_h) + 1):
        top = foot - (row + 1) * tile_h
        for column in range(-1, int(columns / tile_w) + 1):
            left = (column + (row % 2) * 0.5) * tile_w
            pale = int(canvas.random.integers(-7, 8))
            draw.rectangle(
                (left, top, left + tile_w - 3, top + tile_h - 3), fill=(240 + pale, 241 + pale, 238 + pale)
            )
    draw.rectangle((0, 0, columns, rows * 0.1), fill=(92, 122, 116))
    for door in np.arange(0.02, 1, 0.245):
        draw.rectangle((door * columns, 0, (door + 0.215) * columns, rows * 0.088), fill=(108, 140, 132))
        draw.ellipse(_box(((door + 0.107) * columns), rows * 0.07, side * 0.008), fill=(214, 186, 120))
    shelf = rows * 0.315
    draw.rectangle((0, shelf, columns, shelf + side * 0.022), fill=(164, 118, 74))
    jars = ((206, 92, 62), (238, 206, 120), (88, 128, 92), (228, 226, 218), (70, 96, 128), (190, 150, 104))
    place = side * 0.05
    while place < columns:
        kind = int(canvas.random.integers(3))
        width, tall = side * canvas.random.uniform(0.06, 0.09), side * canvas.random.uniform(0.07, 0.13)
        rgb = jars[canvas.random.integers(len(jars))]
        draw.rounded_rectangle((place, shelf - tall, place + width, shelf), side * 0.012, fill=rgb)
        if kind == 0:
            draw.rectangle(
                (place, shelf - tall - side * 0.014, place + width, shelf - tall), fill=(120, 84, 56)
            )
        if kind == 1:
            draw.arc(
                (place + width * 0.8, shelf - tall * 0.8, place + width * 1.3, shelf - tall * 0.25),
                250,
                110,
                fill=rgb,
                width=max(2, int(side * 0.009)),
            )
        if kind == 2:
            for leaf in (-0.5, 0.2, 0.9):
                draw.ellipse(
                    _box(place + width * (leaf + 0.3), shelf - tall * 1.25, side * 0.035), fill=(74, 124, 66)
                )
        place += width + side * canvas.random.uniform(0.03, 0.07)
    _utensils(draw, columns * 0.07, foot, side)
    soft = np.asarray(layer.filter(ImageFilter.GaussianBlur(side * 0.0045)), np.float32)
    bright = 0.72 + 0.4 * np.exp(-((canvas.x - canvas.light_x) ** 2 * 2.5 + (canvas.y - 0.25) ** 2 * 2))
    tint = _daylight(time) if time != "night" else colour(0.34, 0.32, 0.36)
    return lit(soft * tint, bright)


def _utensils(draw: ImageDraw.ImageDraw, x: float, foot: float, side: int) -> None:
    """A pot with spoons, which stands on the counter."""
    for lean, head in ((-0.05, (186, 146, 96)), (0.0, (150, 152, 156)), (0.05, (120, 86, 58))):
        tip = (x + (0.06 + lean) * side, foot - 0.25 * side)
        draw.line([(x + 0.06 * side, foot - 0.05 * side), tip], fill=head, width=max(2, int(side * 0.01)))
        draw.ellipse(_box(*tip, side * 0.02), fill=head)
    draw.rounded_rectangle(
        (x, foot - 0.13 * side, x + 0.12 * side, foot + 4), side * 0.012, fill=(196, 204, 208)
    )


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def city_lights(canvas: Canvas, picture: Pixels) -> Pixels:
    """Lamps far away and out of focus, which make a dark wall a night."""
    side = min(canvas.columns, canvas.rows)
    lamps = Image.new("RGB", (canvas.columns, canvas.rows))
    for _ in range(26):
        x, y = canvas.random.uniform(0, 1), canvas.random.uniform(0.05, HORIZON - 0.06)
        rgb = ((255, 190, 100), (255, 120, 90), (120, 190, 255), (255, 226, 170))[canvas.random.integers(4)]
        radius, bright = side * canvas.random.uniform(0.014, 0.045), canvas.random.uniform(0.12, 0.5)
        lamp = Image.new("RGB", lamps.size)
        ImageDraw.Draw(lamp).ellipse(
            _box(x * canvas.columns, y * canvas.rows, radius), fill=_ink(colour(*rgb) * bright)
        )
        lamps = ImageChops.add(lamps, lamp)
    return picture + np.asarray(lamps.filter(ImageFilter.GaussianBlur(1)), np.float32)


def window_light(canvas: Canvas, picture: Pixels) -> Pixels:
    """The low sun through a window: a bright grid on the wall, slanted away from the light."""
    lean = 0.5 if canvas.light_x < 0.5 else -0.5
    middle = 0.62 if canvas.light_x < 0.5 else 0.38
    u = (canvas.x - middle) + lean * (canvas.y - 0.26) * 0.5
    v = canvas.y - 0.26
    pane = (np.abs(u) < 0.2) & (np.abs(v) < 0.22) & (np.abs(u) > 0.012) & (np.abs(v) > 0.012)
    mask = Image.fromarray((pane * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(5))
    share = np.asarray(mask, np.float32)[..., None] / 255 * 0.75
    return blend(picture, colour(255, 206, 128), share)


BACKDROPS: dict[str, Callable[[Canvas, str], Pixels]] = {
    "beach": _beach,
    "forest": _forest,
    "kitchen": _kitchen,
    "meadow": _hills,
    "winter": _winter,
    "dunes": _dunes,
}
