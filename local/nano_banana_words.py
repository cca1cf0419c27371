"""What a prompt says of its scene: place, surface, time of day, colour of the wall, side of the light.

A small vocabulary, exact words except where a star stands for any ending. English first, then German, French,
Spanish and Italian for the usual scenes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Colour = tuple[int, int, int]

_PLACES = {
    "studio": "studio seamless hohlkehle",
    "beach": "beach seaside shore coast ocean sea strand meer küste plage mer playa mar spiaggia mare",
    "forest": "forest woods woodland jungle wald forêt bosque selva foresta bosco",
    "kitchen": "kitchen küche* cuisine cocina cucina",
    "meadow": "meadow meadows field lawn garden wiese* garten prairie jardin prado jardín prato giardino",
    "winter": "winter* snow snowy snowfall schnee* hiver neige invierno nieve inverno neve",
    "dunes": "desert dune dunes wüste désert desierto deserto",
}
_SURFACES = {
    "oak": "oak oaken eiche* chêne roble rovere quercia",
    "walnut": "walnut mahogany nussbaum* noyer nogal noce",
    "wood": "wood wooden timber holz* bois madera legno",
    "marble": "marble marmor* marbre mármol marmo",
    "linen": "linen tablecloth cloth fabric leinen* tischdecke lin lino",
    "concrete": "concrete cement beton* béton hormigón cemento",
    "stone": "stone slate granite stein* schiefer* pierre piedra pietra",
    "sand": "sand sandy sable arena sabbia",
    "grass": "grass grassy moss mossy gras herbe hierba erba",
}
# where there is no other place, a surface of outdoors brings its own
_PLACE_OF = {"sand": "dunes", "grass": "meadow"}
_TIMES = {
    "sunset": "sunset sunrise dusk dawn twilight golden evening sonnenuntergang* sonnenaufgang* abend* "
    "goldene* coucher crépuscule atardecer tramonto",
    "night": "night nighttime midnight moonlight moonlit dark nacht* dunkel* nuit noche notte",
}
_COLOURS: dict[str, Colour] = {
    "white weiß* weiss* blanc blanche blanco blanca bianco bianca": (242, 242, 240),
    "black schwarz* noir noire negro negra nero nera": (38, 38, 42),
    "grey gray grau* gris grigio grigia": (150, 152, 156),
    "red rot rote* roter rouge rojo roja rosso rossa crimson": (178, 44, 42),
    "orange terracotta": (216, 112, 52),
    "yellow gelb* jaune amarillo amarilla giallo gialla mustard": (232, 194, 72),
    "green grün* vert verte verde emerald": (70, 128, 84),
    "sage mint": (170, 196, 170),
    "teal turquoise türkis*": (46, 140, 142),
    "blue blau* bleu bleue azul azzurro blu": (66, 112, 176),
    "navy": (32, 46, 86),
    "purple violet lila viola lavender": (134, 98, 168),
    "pink rosa rose coral": (232, 158, 168),
    "brown braun* marron marrone": (124, 88, 62),
    "beige cream": (224, 208, 182),
}
_PALE = "light pale pastel soft hell* clair claro chiaro"
_DEEP = "dark deep dunkel* foncé oscuro scuro"
_WALL = "wall walls background backdrop wand hintergrund* mur fond pared fondo parete sfondo"
_LIGHT = "light lighting lit lamp sun sunlight window licht* sonne* lumière luz luce"
_LEFT = "left links gauche izquierda sinistra"
_RIGHT = "right rechts droite derecha destra"
# words between the light and its side, as in "light that comes in from the left"
_NEAR = 5


@dataclass(frozen=True)
class SceneWords:
    """What was found; "" and None where nothing was. ``light``: -1 from the left, 1 from the right."""

    place: str = ""
    surface: str = ""
    time: str = ""
    wall: Colour | None = None
    light: int = 0


def read_scene(prompt: str) -> SceneWords:
    """The scene of a prompt; of two places, or surfaces, the first one counts."""
    words = re.findall(r"[^\W\d_]+", prompt.lower())
    surface = _first(words, _SURFACES)
    place = _first(words, _PLACES) or _PLACE_OF.get(surface, "")
    return SceneWords(place, surface, _time(words), _wall(words, place), _light(words))


def _is(word: str, vocabulary: str) -> bool:
    return any(
        word == entry or (entry.endswith("*") and word.startswith(entry[:-1])) for entry in vocabulary.split()
    )


def _first(words: list[str], vocabulary: dict[str, str]) -> str:
    return next((name for word in words for name, known in vocabulary.items() if _is(word, known)), "")


def _is_tone(words: list[str], index: int) -> bool:
    """The word says how dark a colour or a surface is, as in "dark green" and "dark oak"."""
    following = words[index + 1] if index + 1 < len(words) else ""
    return _colour(following) is not None or any(_is(following, known) for known in _SURFACES.values())


def _time(words: list[str]) -> str:
    said = [word for index, word in enumerate(words) if not (_is(word, _DEEP) and _is_tone(words, index))]
    return _first(said, _TIMES)


def _colour(word: str) -> Colour | None:
    return next((colour for known, colour in _COLOURS.items() if word and _is(word, known)), None)


def _wall(words: list[str], place: str) -> Colour | None:
    """A colour that stands beside a wall; without a wall, and indoors, the first that is no surface's."""
    found = []
    for index, word in enumerate(words):
        colour = _colour(word)
        if colour is None or _is_tone(words, index):
            continue
        near = words[max(0, index - 3) : index + 4]
        found.append((any(_is(each, _WALL) for each in near), _toned(colour, words[max(0, index - 1)])))
    beside = [colour for is_beside, colour in found if is_beside]
    if beside:
        return beside[0]
    return found[0][1] if found and place in {"", "studio"} else None


def _toned(colour: Colour, before: str) -> Colour:
    red, green, blue = colour
    if _is(before, _PALE):
        return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2
    return (red // 2, green // 2, blue // 2) if _is(before, _DEEP) else colour


def _light(words: list[str]) -> int:
    for index, word in enumerate(words):
        near = words[max(0, index - _NEAR) : index + _NEAR + 1]
        if any(_is(each, _LIGHT) for each in near):
            if _is(word, _LEFT):
                return -1
            if _is(word, _RIGHT):
                return 1
    return 0
