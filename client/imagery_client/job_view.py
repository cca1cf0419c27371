"""How a job looks in a terminal: one line a stage, or one line a job where there are many."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from imagery.text import plain
from imagery_client.api import Json
from imagery_client.output import MOST_CHARS, money

ENDED = frozenset({"COMPLETED", "REJECTED", "FAILED", "CANCELLED"})
_BAR = 16
_DETAILED = 3
_SHORT_ID = 12
_STYLES = {
    "RUNNING": ("▶", "cyan"),
    "VALIDATING": ("▶", "cyan"),
    "QUEUED": ("·", "dim"),
    "PENDING": ("·", "dim"),
    "WAITING": ("…", "yellow"),
    "SUCCEEDED": ("✔", "green"),
    "COMPLETED": ("✔", "green"),
    "CANCELLED": ("■", "yellow"),
}
_BROKEN = ("✘", "red")


def jobs_view(statuses: Iterable[Json], height: int, notice: str) -> RenderableType:
    """Everything that is watched, cut to the screen's ``height``: what is open comes first."""
    jobs = list(statuses)
    if len(jobs) <= _DETAILED:
        parts: list[RenderableType] = [_detailed(job) for job in jobs]
    else:
        parts = [_overview(jobs, max(1, height - 3))]
    if notice:
        parts.append(Text(plain(notice, MOST_CHARS), style="yellow"))
    return Group(*parts)


def stage_line(stage: Json) -> str:
    """A stage as words: state, attempt, seconds, tiles, cost, why it waits or failed."""
    parts = [stage["stage"], stage["state"]]
    if stage["attempt"] > 1:
        parts.append(f"attempt {stage['attempt']}")
    parts += [_seconds(stage), _tiles(stage), money(stage["cost_usd"]), _why(stage)]
    return "  ".join(part for part in parts if part)


def end_line(job: Json) -> str:
    """How a job ended, or stands."""
    error = job.get("error")
    why = f"{error['code']}: {error['message']}" if error else ""
    return "  ".join(part for part in (job["job_id"], job["state"], money(job["cost_usd"]), why) if part)


def style_of(state: str) -> str:
    """The colour of a state."""
    return _STYLES.get(state, _BROKEN)[1]


def _detailed(job: Json) -> Table:
    mark, style = _STYLES.get(job["state"], _BROKEN)
    title = Text.assemble((f"{mark} ", style), "job ", job["job_id"], "  ", (job["state"], style))
    title.append(f"  {money(job['cost_usd'])}")
    table = Table(title=title, title_justify="left", title_style="", box=None, show_header=False)
    for width in (2, 12, 10, _BAR, 10, 8, 6, None):
        table.add_column(width=width, no_wrap=width is not None)
    for stage in job["stages"]:
        mark, style = _STYLES.get(stage["state"], _BROKEN)
        attempt = f"attempt {stage['attempt']}" if stage["attempt"] > 1 else ""
        table.add_row(
            Text(f" {mark}", style=style),
            stage["stage"],
            Text(stage["state"], style=style),
            _bar(stage),
            attempt,
            Text(_seconds(stage), justify="right"),
            money(stage["cost_usd"]),
            Text(plain("  ".join(part for part in (_tiles(stage), _why(stage)) if part), MOST_CHARS)),
        )
    return table


def _overview(jobs: list[Json], most: int) -> Group:
    table = Table(box=None, show_header=False)
    ordered = sorted(jobs, key=lambda job: job["state"] in ENDED)
    for job in ordered[:most]:
        mark, style = _STYLES.get(job["state"], _BROKEN)
        running = next((each for each in job["stages"] if each["stage"] == job["stage"]), None)
        error = job.get("error")
        why = f"{error['code']}: {error['message']}" if error else stage_line(running) if running else ""
        table.add_row(
            Text(f"{mark} {job['job_id'][:_SHORT_ID]}", style=style),
            Text(job["state"], style=style),
            ProgressBar(total=1.0, completed=job["progress"], width=_BAR),
            money(job["cost_usd"]),
            Text(plain(why, MOST_CHARS), no_wrap=True, overflow="ellipsis"),
        )
    ended = sum(job["state"] in ENDED for job in jobs)
    cost = sum(job["cost_usd"] for job in jobs)
    left_out = f", {len(jobs) - most} not shown" if len(jobs) > most else ""
    return Group(table, Text(f"{ended} of {len(jobs)} ended, ${cost:.2f}{left_out}", style="bold"))


def _bar(stage: Json) -> RenderableType:
    state, total = stage["state"], stage.get("tiles_total")
    if state == "RUNNING" and total:
        return ProgressBar(total=total, completed=stage.get("tiles_done") or 0, width=_BAR)
    if state == "RUNNING":
        return ProgressBar(pulse=True, width=_BAR)
    done = 1 if state == "SUCCEEDED" else 0
    return ProgressBar(total=1, completed=done, width=_BAR, finished_style="green")


def _tiles(stage: Json) -> str:
    if stage["state"] != "RUNNING":
        return ""
    ahead, total = stage.get("queue_ahead"), stage.get("tiles_total")
    if ahead:
        return f"{ahead} ahead in the GPU's queue"
    return f"tile {stage.get('tiles_done') or 0} of {total}" if total else ""


def _seconds(stage: Json) -> str:
    if stage["duration_ms"] is not None and stage["state"] != "RUNNING":
        return f"{stage['duration_ms'] / 1000:.1f} s"
    if stage["state"] == "RUNNING" and stage["started_at"]:
        since = datetime.now(UTC) - datetime.fromisoformat(stage["started_at"])
        return f"{max(0.0, since.total_seconds()):.0f} s"
    return ""


def _why(stage: Json) -> str:
    error = stage.get("error")
    if error is None:
        return "taken over from an earlier job" if stage.get("cached") else ""
    until = stage.get("waiting_until")
    if stage["state"] == "WAITING" and until:
        left = (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()
        return f"again in {max(0.0, left):.0f} s: {error['code']}: {error['message']}"
    return f"{error['code']}: {error['message']}"
