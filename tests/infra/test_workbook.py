"""The workbook is what its queries say, and each query reads what the code tells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infra.workbook.build import QUERIES, SECTIONS, WORKBOOK, WORKSPACE, text, workbook
from tests.infra.conftest import Served
from tests.infra.emitted import ALWAYS, events, keys
from tests.infra.kusto_service import analyse

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "infra/alerts"
FILES = {f"{file.parent.name}/{file.stem}": file for file in [*QUERIES.glob("*.kql"), *ALERTS.glob("*.kql")]}
PANELS = {panel.query: panel for section in SECTIONS for panel in section.panels}
_STRING = re.compile(r"'([^']*)'")
_PROPERTY = re.compile(r"Properties(?:\.(\w+)|\['(\w+)'\])")
# names of ours are told from other strings by what they are compared with
_EVENTS = re.compile(r"Message (?:==|!=|in|!in|startswith) (\((?:[^()]*)\)|'[^']*')", re.S)
_METRICS = re.compile(r"Name == '([^']+)'")
_CODES = re.compile(r"(?:error_code\)?|reason|budget) (?:==|in) (\((?:[^()]*)\)|'[^']*')", re.S)


@pytest.fixture(scope="module")
def source() -> str:
    """All source of the app."""
    folders = ("activities", "api", "gpu_container", "imagery", "lifecycle", "orchestrators")
    return "\n".join(file.read_text() for folder in folders for file in (ROOT / folder).rglob("*.py"))


def test_the_committed_workbook_is_what_its_parts_build() -> None:
    assert WORKBOOK.read_text() == text(), "run: python -m infra.workbook.build"


def test_every_query_is_shown_once_and_every_panel_has_one() -> None:
    shown = [panel.query for section in SECTIONS for panel in section.panels]
    assert sorted(shown) == sorted(file.stem for file in QUERIES.glob("*.kql"))


def test_the_workspace_is_all_that_bicep_puts_in() -> None:
    bicep = (ROOT / "infra/modules/workbook.bicep").read_text()
    assert f"'{WORKSPACE}'" in bicep
    assert json.dumps(workbook()).count(WORKSPACE) == 1


def test_every_parameter_of_a_query_is_one_of_the_workbooks() -> None:
    parameters = {each["name"] for each in workbook()["items"][0]["content"]["parameters"]}
    for name in PANELS:
        used = set(re.findall(r"\{(\w+)\}", (QUERIES / f"{name}.kql").read_text()))
        assert used <= parameters, name
    for file in ALERTS.glob("*.kql"):
        assert not re.search(r"\{\w+\}", file.read_text()), file.name


@pytest.mark.slow
def test_every_query_is_valid_kusto_over_the_tables() -> None:
    found = analyse({name: file.read_text() for name, file in FILES.items()})
    assert {name: each.problems for name, each in found.items() if each.problems} == {}
    assert all(each.columns for each in found.values())


def test_the_check_of_queries_finds_wrong_ones() -> None:
    wrong = {
        "syntax": "AppTraces | summarize by by",
        "column": "AppTraces | where Massage == 'x'",
        "table": "AppTrace | take 1",
        "function": "AppTraces | summarize percentille(ItemCount, 5)",
        "type": "AppTraces | where Message > 3",
    }
    assert all(each.problems for each in analyse(wrong).values())


@pytest.mark.slow
def test_charts_have_a_time_or_a_name_and_a_number() -> None:
    found = analyse({name: (QUERIES / f"{name}.kql").read_text() for name in PANELS})
    for name, panel in PANELS.items():
        kinds = found[name].columns.values()
        if panel.shown in {"linechart", "barchart", "areachart"}:
            assert "datetime" in kinds, name
        if panel.shown != "table":
            assert set(kinds) & {"real", "long"}, name
    assert set(found["overview-totals"].columns) == {"name", "value"}


@pytest.mark.parametrize("name", FILES)
def test_every_event_in_a_query_is_logged_somewhere(name: str) -> None:
    known = events()
    query = FILES[name].read_text()
    for group in _EVENTS.findall(query):
        for each in _STRING.findall(group):
            is_prefix = each.endswith("_") and any(event.startswith(each) for event in known)
            assert each in known or is_prefix, each
    if "AppTraces" in query and name != "queries/job-events":
        assert "Message" in query


@pytest.mark.parametrize("name", FILES)
def test_every_key_in_a_query_is_logged_or_a_label_of_its_metric(name: str, served: Served) -> None:
    query = FILES[name].read_text()
    used = {dotted or quoted for dotted, quoted in _PROPERTY.findall(query)}
    metrics = _METRICS.findall(query)
    if not metrics:
        assert used <= keys() | ALWAYS
        return
    # an alert may name the reason, which stands in a line of the log
    logged = keys() if "AppTraces" in query else set()
    for metric in metrics:
        assert metric in served
        assert used <= served[metric] | logged


@pytest.mark.parametrize("name", FILES)
def test_every_error_code_in_a_query_is_one_of_the_codes(name: str, source: str) -> None:
    for group in _CODES.findall(FILES[name].read_text()):
        for code in _STRING.findall(group):
            assert f'"{code}"' in source, code
