"""Each alert rule has its query, its columns and a section of the guide that tells what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra.kusto_service import analyse

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "infra/alerts"
BICEP = (ROOT / "infra/modules/alerts.bicep").read_text()
GUIDE = (ROOT / "docs/monitoring.md").read_text()
_FIELD = re.compile(r"^    (\w+): (.+)$", re.M)
_DURATIONS = {"PT5M": 5, "PT10M": 10, "PT15M": 15, "PT30M": 30, "PT1H": 60, "P1D": 1440, "P2D": 2880}


def rules() -> dict[str, dict[str, Any]]:
    """The rules as Bicep has them: plain values without quotes."""
    body = BICEP.split("var rules = [")[1].split("\n]\n")[0]
    found = {}
    for block in re.findall(r"^  \{\n(.*?)^  \}", body, re.M | re.S):
        fields = {name: value.strip("'") for name, value in _FIELD.findall(block)}
        found[fields["name"]] = fields
    return found


RULES = rules()


def section(name: str) -> str:
    """A rule's section of the guide."""
    return GUIDE.split(f"\n### {name}\n")[1].split("\n### ")[0].split("\n## ")[0]


def test_every_query_has_a_rule_and_every_rule_its_query() -> None:
    assert sorted(RULES) == sorted(file.stem for file in ALERTS.glob("*.kql"))
    for name, rule in RULES.items():
        assert rule["query"] == f"loadTextContent('../alerts/{name}.kql')"


@pytest.mark.parametrize("name", RULES)
def test_the_guide_has_the_query_and_a_way_out(name: str) -> None:
    told = section(name)
    query = (ALERTS / f"{name}.kql").read_text()
    assert f"```kusto\n{query}```" in told
    for word in ("What it means", "What to look at", "What to do"):
        assert f"**{word}.**" in told


@pytest.mark.parametrize("name", RULES)
def test_the_guide_tells_severity_window_and_frequency_as_they_are(name: str) -> None:
    rule, told = RULES[name], section(name)
    assert f"Severity {rule['severity']}, window `{rule['window']}`, every `{rule['every']}`" in told


@pytest.mark.parametrize("name", RULES)
def test_a_window_is_at_least_as_long_as_the_pause_between_two_looks(name: str) -> None:
    rule = RULES[name]
    assert _DURATIONS[rule["every"]] <= _DURATIONS[rule["window"]]
    assert 0 <= int(rule["severity"]) <= 4


@pytest.mark.slow
def test_measures_are_numbers_and_dimensions_are_texts_of_the_query() -> None:
    found = analyse({name: (ALERTS / f"{name}.kql").read_text() for name in RULES})
    for name, rule in RULES.items():
        columns = found[name].columns
        if rule["column"]:
            assert columns[rule["column"]] in {"real", "long"}, name
            assert rule["aggregation"] in {"Total", "Maximum"}, name
        else:
            assert rule["aggregation"] == "Count", name
        if rule["dimension"]:
            assert columns[rule["dimension"]] == "string", name


def test_every_limit_is_used_and_explained() -> None:
    defaults = BICEP.split("var defaultLimits = {")[1].split("}")[0]
    limits = dict(re.findall(r"(\w+): (\d+)", defaults))
    table = GUIDE.split("<!-- limits:begin -->")[1].split("<!-- limits:end -->")[0]
    for name, value in limits.items():
        assert f"limit.{name}" in BICEP
        assert f"| `{name}` | {value} |" in table
    assert len(re.findall(r"^\| `", table, re.M)) == len(limits)
