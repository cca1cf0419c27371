"""The simulator's pictures follow the words of the prompt, and say what they are."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from local.nano_banana_models import MODELS
from local.nano_banana_order import read_order
from local.nano_banana_scene import compose
from local.nano_banana_words import SceneWords, read_scene
from testbed.pictures import picture
from tests.local.test_nano_banana_orders import NEWEST, body

WRAP = (
    "Place the subject of the picture in the scene below. Keep the subject unchanged, its text and logo"
    " legible; light and shadow fit the scene."
)
SIDE = 512


def drawn(prompt: str, size: tuple[int, int] = (SIDE, SIDE), seed: int | None = None) -> np.ndarray:
    data = compose(picture(64, 64, "RGBA"), prompt, size, seed)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)


def part(pixels: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The mean colour of a part, given in shares of the sides."""
    rows, columns = pixels.shape[:2]
    cut = pixels[round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)]
    mean: np.ndarray = cut.mean(axis=(0, 1))
    return mean


def ground(prompt: str) -> np.ndarray:
    return part(drawn(prompt), 0.0, 0.75, 0.15, 1.0)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("On a walnut table, dark green wall behind", SceneWords(surface="walnut", wall=(35, 64, 42))),
        ("white marble, light from the right", SceneWords(surface="marble", light=1)),
        ("soft window light coming in from the left on linen", SceneWords(surface="linen", light=-1)),
        ("a beach at sunset", SceneWords(place="beach", time="sunset")),
        ("on dark oak", SceneWords(surface="oak")),
        ("a dark room, concrete", SceneWords(surface="concrete", time="night")),
        ("in the snow at night", SceneWords(place="winter", time="night")),
        ("a red apple on a kitchen counter", SceneWords(place="kitchen")),
        ("on a kitchen counter, pale blue wall", SceneWords(place="kitchen", wall=(160, 183, 215))),
        ("on mossy ground", SceneWords(place="meadow", surface="grass")),
        ("studio, white background", SceneWords(place="studio", wall=(242, 242, 240))),
        (
            "Auf einem Eichentisch vor einer grünen Wand, Licht von links",
            SceneWords("", "oak", "", (70, 128, 84), -1),
        ),
        ("im Schnee bei Sonnenuntergang", SceneWords(place="winter", time="sunset")),
        ("Wald bei Nacht", SceneWords(place="forest", time="night")),
        ("sur la plage au coucher du soleil", SceneWords(place="beach", time="sunset")),
        ("en la cocina", SceneWords(place="kitchen")),
        ("nella foresta di notte", SceneWords(place="forest", time="night")),
        ("a sandwich and its nightstand", SceneWords()),
        (WRAP, SceneWords()),
    ],
)
def test_a_prompts_words_are_understood(prompt: str, words: SceneWords) -> None:
    assert read_scene(prompt) == words


@pytest.mark.parametrize(
    "texts",
    [
        (WRAP + " Never snow.", "on the beach"),
        (f"{WRAP} Never snow.\n<scene>on the beach</scene>",),
        (f'{WRAP} Never snow.\n"""\non the beach\n"""\n',),
        ("on the beach",),
    ],
)
def test_the_scene_is_in_the_users_part_of_the_prompt(texts: tuple[str, ...]) -> None:
    order = read_order(json.dumps(body(*texts)).encode(), NEWEST, is_vertex=False)
    assert order.prompt == "on the beach"


def test_what_it_stands_on_looks_like_what_was_asked_for() -> None:
    assert ground("on white marble").min() > 150
    assert ground("on walnut").max() < 110
    red, green, blue = ground("on a meadow")
    assert green > red and green > 1.4 * blue
    red, green, blue = ground("on the beach")
    assert red > green > blue > 80
    red, green, blue = ground("in fresh snow")
    assert min(red, green, blue) > 200


def test_places_have_their_own_background() -> None:
    beach = drawn("on the beach")
    sky, sea = part(beach, 0, 0.25, 0.15, 0.4), part(beach, 0, 0.44, 0.15, 0.5)
    assert sky[2] > sky[0] and sea[2] > 1.8 * sea[0] and sky.mean() > sea.mean() + 40
    evening = part(drawn("on the beach at sunset"), 0.6, 0.3, 1, 0.4)
    assert evening[0] > 1.5 * evening[2]
    assert part(drawn("in the forest at night"), 0, 0, 1, 0.3).max() < 50
    assert part(drawn("in a white studio"), 0, 0, 0.2, 1).min() > 180


def test_a_wall_has_the_colour_that_is_named() -> None:
    red, green, blue = part(drawn("on a table, red wall"), 0, 0, 1, 0.3)
    assert red > 2 * green and red > 2 * blue
    red, green, blue = part(drawn("auf einem Tisch vor einer blauen Wand"), 0, 0, 1, 0.3)
    assert blue > 1.5 * red


@pytest.mark.parametrize(("said", "brighter"), [("left", 0), ("right", 1)])
def test_the_light_comes_from_the_side_that_is_named(said: str, brighter: int) -> None:
    pixels = drawn(f"on oak with light from the {said}")
    sides = [part(pixels, 0, 0, 0.2, 0.5).mean(), part(pixels, 0.8, 0, 1, 0.5).mean()]
    assert sides[brighter] > sides[1 - brighter] + 15


def test_every_place_surface_and_time_can_be_drawn_together() -> None:
    places = ("", "studio", "beach", "forest", "kitchen", "meadow", "winter", "desert")
    surfaces = ("", "oak", "walnut", "wood", "marble", "linen", "concrete", "stone", "sand", "grass")
    seen = {}
    for place in places:
        for time in ("", "sunset", "night"):
            for surface in surfaces if place in {"", "beach"} else ("",):
                prompt = f"{place} {surface} {time}"
                seen[prompt] = drawn(prompt, (96, 64)).tobytes()
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("ratio", MODELS[NEWEST].ratios)
@pytest.mark.parametrize("scene", ["studio, white background", "studio, black background"])
def test_every_picture_says_that_it_is_simulated(ratio: str, scene: str) -> None:
    width, height = MODELS[NEWEST].pixels(ratio, "1K")
    pixels = drawn(scene, (width, height)).mean(axis=2)
    side = (width * height) ** 0.5
    corner = pixels[round(height - 0.08 * side) :, round(width - 0.25 * side) :]
    # letters and rim are white, the plate dark, whatever lies behind
    assert (corner > 240).mean() > 0.05
    assert (corner < 80).mean() > 0.15


def test_the_mark_grows_with_the_picture() -> None:
    def white(size: str) -> Any:
        width, height = MODELS[NEWEST].pixels("16:9", size)
        return (
            drawn("studio, black background", (width, height)).mean(axis=2)[height // 2 :, width // 2 :] > 240
        ).mean()

    assert white("1K") == pytest.approx(white("2K"), rel=0.35)
