"""Each check of a picture, on both sides of its limit."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imagery.contracts import JobOptions
from imagery.guardrail.examine import Guardrail
from imagery.guardrail.perceptual_hash import perceptual_hash
from testbed.pictures import encoded, picture
from testbed.stack import PHOTO
from tests.imagery.guardrail.conftest import Make


def code_of(guardrail: Guardrail, data: bytes) -> str | None:
    return guardrail.examine(data, None, JobOptions()).report.code


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def plain(shade: int, grain: float = 0.0) -> Image.Image:
    values = shade + np.random.default_rng(1).normal(0, grain, (120, 160, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("run.sh", "rm")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (plain(200), "blank_image"),
        (plain(255, 1.0), "blank_image"),
        (plain(6, 5.0), "too_dark"),
        (plain(255, 8.0).point(lambda v: max(v, 248)), "blank_image"),
        (plain(128, 30.0), None),
        (picture(160, 120), None),
        (picture(160, 120).filter(ImageFilter.GaussianBlur(12)), "too_blurry"),
        (Image.linear_gradient("L").convert("RGB"), "too_blurry"),
    ],
)
def test_pictures_that_no_stage_could_use_are_rejected(
    guardrail: Guardrail, image: Image.Image, code: str | None
) -> None:
    assert code_of(guardrail, png(image)) == code


def test_an_over_exposed_picture_is_rejected(guardrail: Guardrail) -> None:
    image = plain(246, 9.0).point(lambda v: max(v, 238))
    assert code_of(guardrail, png(image)) == "too_bright"


def test_a_sharp_subject_before_a_blurred_background_passes(guardrail: Guardrail) -> None:
    image = picture(300, 300).filter(ImageFilter.GaussianBlur(12))
    image.paste(picture(60, 60), (120, 120))
    assert code_of(guardrail, png(image)) is None


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        (archive(), "polyglot_file"),
        (b"<script>alert(1)</script>", "polyglot_file"),
        (b"<?php system($_GET['c']); ?>", "polyglot_file"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 200, None),
        (b"PK\x05\x06" + b"\0" * 18, None),
    ],
)
def test_a_picture_that_is_another_file_too_is_rejected(
    guardrail: Guardrail, tail: bytes, code: str | None
) -> None:
    assert code_of(guardrail, encoded("JPEG") + tail) == code


def test_a_pdf_in_a_comment_is_rejected(guardrail: Guardrail) -> None:
    assert code_of(guardrail, encoded("JPEG", comment=b"%PDF-1.7 1 0 obj")) == "polyglot_file"


@pytest.mark.slow
def test_frames_are_summed_up(make: Make) -> None:
    frames = [picture(400, 400, seed=each) for each in range(4)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    assert code_of(make(), buffer.getvalue()) == "too_many_frames"
    lenient = make({"max_frames": 10, "max_megapixels": 0.5})
    assert code_of(lenient, buffer.getvalue()) == "too_many_pixels"
    assert code_of(make({"max_frames": 10}), buffer.getvalue()) is None


@pytest.mark.slow
def test_metadata_has_a_limit(make: Make) -> None:
    data = encoded("JPEG", comment=b"x" * 5000)
    assert code_of(make({"max_metadata_bytes": 1000}), data) == "metadata_too_large"
    assert code_of(make(), data) is None


@pytest.mark.slow
def test_the_classifier_scores_the_photo_as_harmless_and_its_limit_counts(make: Make) -> None:
    photo = PHOTO.read_bytes()
    assert code_of(make(), photo) is None
    assert code_of(make(PICTURE_LIMITS="max_nsfw_score=0.001"), photo) == "nsfw_image"
    report = make(PICTURE_LIMITS="max_nsfw_score=1").examine(photo, None, JobOptions()).report
    assert next(each for each in report.checks if each.name == "nsfw").passed is None


def test_a_blocked_picture_is_known_again_when_it_was_changed_a_little(make: Make) -> None:
    with Image.open(PHOTO) as photo:
        blocked = perceptual_hash(photo)
        changed = photo.resize((300, 200)).point(lambda v: min(255, v + 8))
    strict = make(BLOCKED_PICTURE_HASHES=f"ffffffff00000000,{blocked}")
    buffer = io.BytesIO()
    changed.save(buffer, "JPEG", quality=60)
    assert code_of(strict, buffer.getvalue()) == "blocked_picture"
    assert code_of(strict, encoded("PNG", size=(200, 200))) is None
