"""A label for people covers a corner and nothing else."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops

from imagery.environment import SettingsError, read
from imagery.provenance.label import labelled
from imagery.settings import Settings


def picture(size: tuple[int, int], mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "mode"),
    [((1024, 1024), "RGB"), ((1024, 576), "RGBA"), ((300, 900), "L"), ((96, 64), "P"), ((20, 16), "RGB")],
)
def test_the_label_is_in_the_lower_right_corner_and_the_rest_stays(size: tuple[int, int], mode: str) -> None:
    plain = picture(size, mode)
    drawn = labelled(plain, "AI-generated")
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(drawn)) as after:
        assert after.size == size
        box = ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox()
        darkest, lightest = after.convert("L").crop(box).getextrema()
    assert box is not None
    left, top, right, bottom = box
    assert (right, bottom) == size
    assert bottom - top < size[1]
    if min(size) > 60:
        assert left > 0
        assert (darkest, lightest) == (0, 255), "white on black"
        assert (right - left) * (bottom - top) < 0.3 * size[0] * size[1]
    assert labelled(drawn, "AI-generated") == drawn, "drawn twice looks as drawn once"


@pytest.mark.parametrize("label", ["généré", "a" * 41, "a/b"])
def test_what_the_font_does_not_have_is_refused_when_the_app_starts(label: str) -> None:
    with pytest.raises(SettingsError, match="label"):
        read(Settings, {"CONTENT_CREDENTIALS": f"label={label}"})
