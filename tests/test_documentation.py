"""What is written about the settings is what the code reads."""

from __future__ import annotations

import json
from pathlib import Path

from gpu_container.settings import GpuSettings
from imagery.settings import Settings
from imagery.settings_table import settings_table, variable

ROOT = Path(__file__).parent.parent
HOST_SETTINGS = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsDisableHomepage"}


def test_the_documentation_explains_every_setting() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    table = page.split("<!-- settings:begin -->")[1].split("<!-- settings:end -->")[0]
    assert table.strip() == settings_table(), "run: python -m imagery.settings_table"
    gpu = page.split("<!-- gpu-settings:begin -->")[1].split("<!-- gpu-settings:end -->")[0]
    assert gpu.strip() == settings_table(GpuSettings), "run: python -m gpu_container.settings_table"


def test_the_example_settings_exist_and_are_valid() -> None:
    values = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    known = {variable(name, field) for name, field in Settings.model_fields.items()}
    assert set(values) - HOST_SETTINGS <= known
    Settings(**{name: value for name, value in values.items() if name not in HOST_SETTINGS})


def test_every_requirement_is_pinned_and_says_why() -> None:
    for path in [*ROOT.glob("requirements*.txt"), ROOT / "gpu_container/requirements.txt"]:
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                requirement, _, reason = line.partition("#")
                assert "==" in requirement, f"{path.name}: {line}"
                assert reason.strip(), f"{path.name}: {line}"
