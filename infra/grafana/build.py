"""Assembles the dashboard ``imagery.json``: ``python -m infra.grafana.build``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "imagery.json"
# infra/grafana/provisioning/datasources names it so
_SOURCE = {"type": "prometheus", "uid": "imagery-prometheus"}
_COLUMNS, _HEIGHT = 24, 8

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries``: legend to expression; ``width``: of 24 columns."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    height: int = _HEIGHT
    text: str = ""
    states: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


def _figure(title: str, query: str, unit: str = "short", text: str = "") -> Panel:
    return Panel(title, {"": query}, unit, "stat", width=4, height=4, text=text)


def _hourly(metric: str, label: str) -> dict[str, str]:
    return {f"{{{{{label}}}}}": f"sum by ({label}) (rate({metric}[$__rate_interval])) * 3600"}


_ENDED = 'status=~"COMPLETED|FAILED"'
_LATENCY = (
    "histogram_quantile({share}, "
    "sum by (le, stage) (rate(pipeline_latency_seconds_bucket[$__rate_interval])))"
)
_BREAKER_STATES = (("closed", "green"), ("half-open", "orange"), ("open", "red"))

ROWS = (
    Row(
        "Overview",
        (
            _figure("Open jobs", "sum(imagery_jobs_open)"),
            _figure("Oldest open job", "max(imagery_oldest_open_job_age_seconds)", "s"),
            _figure("COMPLETED", 'sum(increase(imagery_jobs_total{status="COMPLETED"}[$__range]))'),
            _figure("FAILED", 'sum(increase(imagery_jobs_total{status="FAILED"}[$__range]))'),
            _figure(
                "Success",
                'sum(increase(imagery_jobs_total{status="COMPLETED"}[$__range]))'
                f" / sum(increase(imagery_jobs_total{{{_ENDED}}}[$__range]))",
                "percentunit",
                "COMPLETED of COMPLETED and FAILED.",
            ),
            _figure("Paid", "sum(increase(nano_banana_spend_usd_total[$__range]))", "currencyUSD"),
            Panel(
                "Jobs that entered a state, an hour",
                _hourly("imagery_jobs_total", "status"),
            ),
            Panel("Open jobs by state", {"{{status}}": "sum by (status) (imagery_jobs_open)"}),
            Panel(
                "Age of the oldest open job",
                {"{{status}}": "max by (status) (imagery_oldest_open_job_age_seconds)"},
                "s",
            ),
            Panel(
                "Circuit breakers",
                {"{{dependency}}": "max by (dependency) (circuit_breaker_state)"},
                kind="state-timeline",
                text="Closed: calls go through. Half-open: one probe decides. Open: nobody calls, jobs wait.",
                states=_BREAKER_STATES,
            ),
        ),
    ),
    Row(
        "Stages",
        (
            Panel("Latency, median", {"{{stage}}": _LATENCY.format(share="0.5")}, "s"),
            Panel("Latency, 95th percentile", {"{{stage}}": _LATENCY.format(share="0.95")}, "s"),
            Panel(
                "Stages finished, an hour",
                _hourly("pipeline_latency_seconds_count", "stage"),
            ),
            Panel(
                "Taken over from earlier jobs, an hour",
                _hourly("stage_cache_hits_total", "stage"),
            ),
        ),
    ),
    Row(
        "Money",
        (
            Panel(
                "USD an hour",
                {"paid": "sum(rate(nano_banana_spend_usd_total[$__rate_interval])) * 3600"},
                "currencyUSD",
            ),
            Panel(
                "USD not spent, by the reason",
                {"{{reason}}": "sum by (reason) (increase(nano_banana_spend_avoided_usd_total[$__range]))"},
                "currencyUSD",
                "bargauge",
            ),
            Panel(
                "Paid calls by outcome, an hour",
                _hourly("nano_banana_api_calls_total", "outcome"),
                text="settled: charged. released: not charged. unknown: no answer, an operator settles it.",
            ),
            Panel(
                "Calls whose answer was lost",
                {"unknown": 'sum(increase(nano_banana_api_calls_total{outcome="unknown"}[$__range]))'},
                kind="stat",
                text="GET /api/v1/spend lists those that are not settled yet.",
            ),
        ),
    ),
    Row(
        "Guardrail and GPU",
        (
            Panel(
                "Verdicts, an hour",
                _hourly("guardrail_validations_total", "verdict"),
            ),
            Panel(
                "GPU memory at the last answer",
                {
                    "{{replica}} in use": "max by (replica) (gpu_vram_usage_gauge)",
                    "{{replica}} peak": "max by (replica) (gpu_vram_peak_gauge)",
                },
                "decgbytes",
            ),
            Panel(
                "Age of the GPU's last answer",
                {"age": "max(gpu_last_answer_age_seconds)"},
                "s",
                text="It grows while there is no work: nobody asks a GPU that may sleep.",
            ),
            Panel(
                "Scraped",
                {"{{job}}": "min by (job) (up)"},
                kind="state-timeline",
                states=(("silent", "red"), ("responds", "green")),
            ),
        ),
    ),
)


def dashboard() -> Json:
    """The dashboard as Grafana stores it."""
    return {
        "uid": "imagery",
        "title": "Imagery pipeline",
        "tags": ["imagery"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


def _panels() -> Iterator[Json]:
    number, top = 1, 0
    for row in ROWS:
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel) -> Json:
    is_figure = panel.kind in {"stat", "bargauge"}
    targets = [
        {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
        | ({"instant": True} if is_figure else {"range": True})
        for i, (legend, query) in enumerate(panel.queries.items())
    ]
    options = (
        {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}} if is_figure else {}
    )
    defaults: Json = {"unit": panel.unit, "mappings": _mappings(panel)}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "targets": targets,
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _mappings(panel: Panel) -> list[Json]:
    if not panel.states:
        return []
    named = {
        str(i): {"text": text, "color": colour, "index": i} for i, (text, colour) in enumerate(panel.states)
    }
    return [{"type": "value", "options": named}]


if __name__ == "__main__":
    DASHBOARD.write_text(text())
