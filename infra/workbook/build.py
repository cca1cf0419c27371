"""Assembles ``imagery.workbook.json`` from the queries beside it: ``python -m infra.workbook.build``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
QUERIES = FOLDER / "queries"
WORKBOOK = FOLDER / "imagery.workbook.json"
# infra/modules/workbook.bicep puts the workspace in its place
WORKSPACE = "{workspaceId}"
_WORKSPACES = "microsoft.operationalinsights/workspaces"
_MEDIUM, _TINY = 0, 4

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One query and how it is shown. ``width``: percent of the page."""

    query: str
    title: str
    shown: str = "table"
    width: int = 100
    empty: str = "Nothing in this time."


@dataclass(frozen=True)
class Section:
    """A tab: what it is for, and its panels."""

    tab: str
    title: str
    text: str
    panels: tuple[Panel, ...]


SECTIONS = (
    Section(
        "overview",
        "Overview",
        "How many jobs end, and how; what is open, and since when. A job that is retried ends once more.",
        (
            Panel("overview-totals", "In this time", "tiles"),
            Panel("jobs-by-end-state", "Jobs by the state they ended in", "barchart", 50),
            Panel("success-rate", "COMPLETED of COMPLETED and FAILED, %", "linechart", 50),
            Panel("open-jobs", "Open jobs", "areachart", 50),
            Panel("queue-age", "Age of the oldest open job, minutes", "linechart", 50),
        ),
    ),
    Section(
        "job",
        "One job",
        "Put the job's id into **Job** above. Its trace has the same id in every process.",
        (
            Panel(
                "job-events",
                "What happened",
                empty="No events: is the id right, and the time range long enough?",
            ),
            Panel("job-stages", "Seconds of each stage", "categoricalbar", 40),
            Panel("job-trace", "Its trace: requests, activities and calls", width=60),
        ),
    ),
    Section(
        "stages",
        "Stages",
        "Durations are those of successful attempts that were computed, not taken over from an earlier job.",
        (
            Panel("stage-latency", "Latency"),
            Panel("stage-latency-over-time", "95th percentile, seconds", "linechart"),
            Panel("stage-waits", "Waits and their reasons", width=60),
            Panel("stage-cache-hits", "Taken over from earlier jobs", width=40),
        ),
    ),
    Section(
        "money",
        "Money",
        "What was paid by the ledger's own events. An answer that was lost may have been charged: an "
        "operator looks at the provider's bill and settles it.",
        (
            Panel("spend-per-day", "USD a day (UTC)", "barchart", 50),
            Panel("spend-rate", "USD an hour", "linechart", 50),
            Panel("paid-calls", "Paid calls by what became of them", "barchart", 50),
            Panel("spend-avoided", "USD not spent, by the reason", "categoricalbar", 50),
            Panel("spend-unknown", "Calls whose answer was lost, to be settled", empty="None is open."),
        ),
    ),
    Section(
        "guardrail",
        "Guardrail",
        "Verdicts count every image that was examined, also those that were rejected before a job was made.",
        (
            Panel("guardrail-verdicts", "Verdicts", "barchart"),
            Panel(
                "guardrail-rejections",
                "Rejected pictures by the check that failed",
                empty="No picture was rejected.",
            ),
        ),
    ),
    Section(
        "gpu",
        "GPU",
        "Memory at the last answer and the age of it, what jobs wait for, and where memory ran out.",
        (
            Panel("gpu-vram", "Memory in use at the last answer, GB", "linechart", 50),
            Panel("gpu-answer-age", "Minutes since the last answer", "linechart", 50),
            Panel("gpu-queue", "Waits at the GPU by reason", "barchart", 50),
            Panel("gpu-stage-vram", "Memory a stage used, GB", width=50),
            Panel("gpu-throughput", "Tiles a second", "table", 50),
            Panel("gpu-out-of-memory", "Out of memory", empty="It never was."),
        ),
    ),
    Section(
        "breakers",
        "Circuit breakers",
        "0 closed: calls go through. 1 half-open: one probe decides. 2 open: nobody calls, jobs wait.",
        (
            Panel("breaker-timeline", "State", "linechart"),
            Panel("breaker-events", "Changes", empty="None changed."),
        ),
    ),
    Section(
        "errors",
        "Errors",
        "By their stable code, with the ids of up to 20 jobs each.",
        (
            Panel(
                "errors-by-code", "Jobs that ended without a picture", empty="Every job that ended has one."
            ),
            Panel("errors-of-processes", "Errors of the processes", width=50, empty="None was logged."),
            Panel("callbacks", "Callbacks", width=50, empty="None was due."),
        ),
    ),
)


def workbook() -> Json:
    """The workbook as Azure stores it."""
    items = [_parameters(), _tabs()]
    for section in SECTIONS:
        items += _items(section)
    return {
        "version": "Notebook/1.0",
        "items": items,
        "fallbackResourceIds": [WORKSPACE],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def text() -> str:
    """The file's content."""
    return json.dumps(workbook(), indent=2) + "\n"


def _parameters() -> Json:
    ranges = [3_600_000, 14_400_000, 43_200_000, 86_400_000, 259_200_000, 604_800_000, 2_592_000_000]
    grains = [
        ("5 minutes", "00:05:00", False),
        ("1 hour", "01:00:00", True),
        ("6 hours", "06:00:00", False),
        ("1 day", "1.00:00:00", False),
    ]
    choices = [{"value": value, "label": label, "selected": chosen} for label, value, chosen in grains]
    parameters = [
        {
            "version": "KqlParameterItem/1.0",
            "name": "TimeRange",
            "label": "Time",
            "type": 4,
            "isRequired": True,
            "value": {"durationMs": 86_400_000},
            "typeSettings": {
                "selectableValues": [{"durationMs": each} for each in ranges],
                "allowCustom": True,
            },
        },
        {
            "version": "KqlParameterItem/1.0",
            "name": "grain",
            "label": "Step",
            "type": 2,
            "isRequired": True,
            "typeSettings": {"additionalResourceOptions": [], "showDefault": False},
            "jsonData": json.dumps(choices),
            "value": "01:00:00",
        },
        {
            "version": "KqlParameterItem/1.0",
            "name": "job_id",
            "label": "Job",
            "type": 1,
            "description": "The id of one job, for the tab 'One job'.",
            "value": "",
        },
    ]
    content = {
        "version": "KqlParameterItem/1.0",
        "parameters": parameters,
        "style": "pills",
        "queryType": 0,
        "resourceType": _WORKSPACES,
    }
    return {"type": 9, "name": "parameters", "content": content}


def _tabs() -> Json:
    links = [
        {
            "id": f"tab-{section.tab}",
            "cellValue": "tab",
            "linkTarget": "parameter",
            "linkLabel": section.title,
            "subTarget": section.tab,
            "style": "link",
        }
        for section in SECTIONS
    ]
    return {
        "type": 11,
        "name": "tabs",
        "content": {"version": "LinkItem/1.0", "style": "tabs", "links": links},
    }


def _items(section: Section) -> Iterator[Json]:
    visible = {
        "conditionalVisibility": {"parameterName": "tab", "comparison": "isEqualTo", "value": section.tab}
    }
    yield {"type": 1, "name": section.tab, "content": {"json": section.text}, **visible}
    for panel in section.panels:
        yield {
            "type": 3,
            "name": panel.query,
            "customWidth": str(panel.width),
            "content": _content(panel),
            **visible,
        }


def _content(panel: Panel) -> Json:
    content: Json = {
        "version": "KqlItem/1.0",
        "query": (QUERIES / f"{panel.query}.kql").read_text(),
        "size": _TINY if panel.shown == "tiles" else _MEDIUM,
        "title": panel.title,
        "noDataMessage": panel.empty,
        "timeContextFromParameter": "TimeRange",
        "showExportToExcel": True,
        "queryType": 0,
        "resourceType": _WORKSPACES,
        "visualization": panel.shown,
    }
    if panel.shown == "tiles":
        content["tileSettings"] = {
            "titleContent": {"columnMatch": "name", "formatter": 1},
            "leftContent": {"columnMatch": "value", "formatter": 12},
            "showBorder": True,
        }
    if panel.shown == "table":
        content["gridSettings"] = {"filter": True, "rowLimit": 1000}
    return content


if __name__ == "__main__":
    WORKBOOK.write_text(text())
