"""The checkpoint of Real-ESRGAN's authors, where the image build has put it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gpu_container.errors import ModelUnavailableError
from gpu_container.models import UPSCALE_MODELS, OfficialWeights, UpscaleModel

MODEL = UPSCALE_MODELS["realesrgan-x4plus"]


def save_checkpoint(folder: Path) -> UpscaleModel:
    """A checkpoint in the authors' layout, and the model that expects exactly it."""
    torch.manual_seed(1)
    path = folder / "official.pth"
    torch.save({"params_ema": MODEL.build().state_dict()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(MODEL, official=OfficialWeights(path.name, digest, entry="params_ema"))


@pytest.mark.slow
def test_the_official_checkpoint_is_taken_where_it_is(tmp_path: Path) -> None:
    model = save_checkpoint(tmp_path)
    torch.manual_seed(1)
    expected = MODEL.build().state_dict()
    loaded = model.load(tmp_path).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_changed_checkpoint_is_refused_and_not_replaced_in_silence(tmp_path: Path, cache: Path) -> None:
    model = save_checkpoint(tmp_path)
    (tmp_path / model.file.name).symlink_to(model.file.path(cache))
    with (tmp_path / "official.pth").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelUnavailableError, match=r"official\.pth"):
        model.load(tmp_path)


def test_without_the_checkpoint_the_converted_weights_are_taken(cache: Path) -> None:
    assert MODEL.official is not None
    assert not (cache / MODEL.official.name).exists()
    assert sum(each.numel() for each in MODEL.load(cache).parameters()) > 16_000_000
