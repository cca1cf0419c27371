"""The operations guide says what the files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpu_container.settings import GpuSettings
from imagery.environment import variables
from imagery.settings import Settings
from infra.cost_model import IMAGES, cost, idle_month, input_table, read_inputs, table
from tests.infra.bicep import INFRA

ROOT = Path(__file__).parent.parent.parent

GUIDE = (ROOT / "docs/operations.md").read_text()
KINDS = {"measured", "assumption", "setting", "source"}


def between(mark: str) -> str:
    return GUIDE.split(f"<!-- {mark}:begin -->")[1].split(f"<!-- {mark}:end -->")[0].strip()


def test_the_guide_shows_the_cost_model_as_it_is() -> None:
    assert between("cost") == table(), "run: python -m infra.cost_model"
    assert between("inputs") == input_table(), "run: python -m infra.cost_model"


def test_each_input_says_where_it_comes_from() -> None:
    for line in input_table().splitlines()[2:]:
        _, name, value, kind, source, _ = (part.strip() for part in line.split("|"))
        assert kind in KINDS and len(source) > 10 and float(value) > 0, name
        assert name.strip("`") in GUIDE


def test_the_price_of_the_paid_call_is_the_setting() -> None:
    assert read_inputs()["usd_paid_call"] == float(Settings().nano_banana.prices.contract_usd)


def test_an_idle_month_is_what_its_storage_requests_cost() -> None:
    assert idle_month({"idle_transactions_minute": 100, "usd_10k_durable": 0.01}) == pytest.approx(4.32)


@pytest.mark.parametrize("measured", [True, False])
def test_an_image_costs_the_paid_call_and_little_more(measured: bool) -> None:
    parts = cost(read_inputs(), measured=measured)
    assert parts["Nano Banana"] == pytest.approx(0.08 * IMAGES)
    assert parts["GPU seconds"] == pytest.approx(
        IMAGES * (3.011 + 11.529 if measured else 0.65) / 0.5 * 0.000209
    )


def test_the_guide_names_settings_and_parameters_that_exist() -> None:
    parameters = (INFRA / "main.parameters.json").read_text()
    known = {each.name for group in (Settings, GpuSettings) for each in variables(group)}
    known |= set(re.findall(r"\$\{(\w+)", parameters))
    known |= set(re.findall(r"^output (\w+)", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^(\w+)=", (INFRA / "environments/prod.env").read_text(), re.MULTILINE))
    workflow = (ROOT / ".github/workflows/deploy.yml").read_text()
    known |= set(re.findall(r"vars\.(\w+)", workflow))
    known |= set(re.findall(r"ARG (\w+)", (ROOT / "Dockerfile").read_text()))
    known |= set(re.findall(r"^(_\w+) =", (ROOT / "imagery/database/engine.py").read_text(), re.MULTILINE))
    named = set(re.findall(r"`\$?([A-Z_][A-Z0-9_]{3,})(?:=[^`]*)?`", GUIDE)) - {"FAILED"}
    assert named <= known, f"nobody knows {named - known}"


def test_the_limits_in_the_guide_are_the_defaults() -> None:
    settings = Settings()
    assert f"USD {settings.jobs.budget_usd_per_day:g} a day" in GUIDE
    assert f"{settings.jobs.quota.jobs_per_minute} a minute" in GUIDE
    assert f"{settings.gpu.retry.timeout_s:g} s" in GUIDE


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+\.md)", GUIDE):
        assert (ROOT / "docs" / target).is_file(), target
