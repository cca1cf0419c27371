"""Which files a submit means, and by which key it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagery_client.arguments import parser
from imagery_client.errors import ClientError
from imagery_client.photos import find_photos, idempotency_key
from imagery_client.submit import fields_of


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_stands_for_its_pictures_and_a_pattern_for_its_matches(tmp_path: Path) -> None:
    files(tmp_path, "b.JPG", "a.png", "notes.txt", "deeper/c.webp")
    assert [each.name for each in find_photos([str(tmp_path)], 10)] == ["a.png", "b.JPG"]
    assert [each.name for each in find_photos([f"{tmp_path}/**/*.webp"], 10)] == ["c.webp"]


def test_a_file_named_twice_is_sent_once(tmp_path: Path) -> None:
    files(tmp_path, "a.png")
    assert len(find_photos([str(tmp_path), f"{tmp_path}/a.png", f"{tmp_path}/*.png"], 10)) == 1


def test_a_name_with_a_bracket_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    files(tmp_path, "a[1].png")
    assert [each.name for each in find_photos([f"{tmp_path}/a[1].png"], 10)] == ["a[1].png"]


@pytest.mark.parametrize("argument", ["missing.png", "*.gif", "empty"])
def test_an_argument_that_matches_nothing_is_an_error(tmp_path: Path, argument: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClientError):
        find_photos([str(tmp_path / argument)], 10)


def test_more_photos_than_the_limit_are_an_error(tmp_path: Path) -> None:
    files(tmp_path, "a.png", "b.png", "c.png")
    with pytest.raises(ClientError, match="the limit is 2"):
        find_photos([str(tmp_path)], 2)


def test_the_key_depends_on_content_and_options_alone() -> None:
    key = idempotency_key("abc", {"prompt": "x", "image_size": "1K"})
    assert key == idempotency_key("abc", {"image_size": "1K", "prompt": "x"})
    assert (
        len({key, idempotency_key("abd", {"prompt": "x", "image_size": "1K"}), idempotency_key("abc", {})})
        == 3
    )


def test_options_are_sent_only_when_they_are_chosen() -> None:
    common = ["submit", "a.png"]
    assert fields_of(parser().parse_args(common)) == {}
    chosen = ["--aspect-ratio", "8:1", "--thinking-level", "high", "--seed", "0"]
    assert fields_of(parser().parse_args(common + chosen)) == {
        "aspect_ratio": "8:1",
        "thinking_level": "high",
        "seed": "0",
    }
