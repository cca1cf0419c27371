"""``make drill NAME=photographs``: what it examines and what it counts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from drills.photographs import collage, listed, main, pictures
from testbed.pictures import encoded, small_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.jpg").write_bytes(small_photo())
    (tmp_path / "below/B.PNG").write_bytes(encoded("PNG", size=(200, 150)))
    (tmp_path / "below/small.png").write_bytes(encoded("PNG", size=(16, 16)))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_every_picture_below_the_folder_is_found_and_a_list_leaves_others_out(folder: Path) -> None:
    found = pictures(folder)
    assert [path.name for path in found] == ["a.jpg", "B.PNG", "small.png"]
    names = folder / "list.tsv"
    names.write_text(f"name\tsha256\na.jpg\t{hashlib.sha256(small_photo()).hexdigest()}\n")
    assert [path.name for path in listed(found, names)] == ["a.jpg"]


def test_a_seed_makes_the_same_collage_again(folder: Path) -> None:
    found = pictures(folder)
    assert collage(found, 3) == collage(found, 3) != collage(found, 4)


@pytest.mark.drill
def test_refusals_are_told_with_their_codes_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--folder", str(folder), "--collages", "2"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "small.png: image_too_small" in lines[0]
    told = json.loads(last)
    assert told["photographs"] == {
        "examined": 3,
        "admitted": 2,
        "admitted_by_parts": 0,
        "refused": {"image_too_small": 1},
    }
    assert told["collages"]["admitted"] == 2


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert main(["--folder", str(tmp_path)]) == 2
