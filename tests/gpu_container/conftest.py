"""The real models, in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_container.fetch_models import fetch
from gpu_container.settings import GpuSettings


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder with every model file."""
    folder = GpuSettings().model_cache
    fetch(folder)
    return folder
