"""How jobs look in a terminal: a line for each stage, or a line for each job where there are many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from imagery_client.model import JobStatus, StageStatus
from imagery_client.output import money, plain

_BAR = 16
_DETAILED = 3
_SHORT_ID = 12
_NAME_CHARS = 24
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


def jobs_view(
    jobs: Iterable[JobStatus], height: int, notice: str, names: Mapping[str, str] | None = None
) -> RenderableType:
    """All jobs that are watched, cut to the screen's ``height``; open ones come first.

    ``names``: the photo's name of a job, by job id.
    """
    jobs, names = list(jobs), names or {}
    if len(jobs) <= _DETAILED:
        parts: list[RenderableType] = [_detailed(job, names.get(job.job_id, "")) for job in jobs]
    else:
        parts = [_overview(jobs, max(1, height - 3), names)]
    if notice:
        parts.append(Text(plain(notice), style="yellow"))
    return Group(*parts)


def stage_line(stage: StageStatus) -> str:
    """A stage in words: state, attempt, seconds, tiles, cost, why it waits or failed."""
    parts = [stage.stage, stage.state]
    if stage.attempt > 1:
        parts.append(f"attempt {stage.attempt}")
    parts += [_seconds(stage), _tiles(stage), money(stage.cost_usd), _why(stage)]
    return "  ".join(part for part in parts if part)


def end_line(job: JobStatus) -> str:
    """How a job ended: id, state, cost, reason."""
    parts = (job.job_id, job.state, money(job.cost_usd), str(job.error or ""))
    return "  ".join(part for part in parts if part)


def style_of(state: str) -> str:
    """The colour of a state."""
    return _STYLES.get(state, _BROKEN)[1]


def _detailed(job: JobStatus, name: str) -> Table:
    mark, style = _STYLES.get(job.state, _BROKEN)
    title = Text.assemble((f"{mark} ", style), f"{plain(name)}  " if name else "", "job ", plain(job.job_id))
    title.append("  ").append(plain(job.state), style).append(f"  {cost(job)}")
    table = Table(title=title, title_justify="left", title_style="", box=None, show_header=False)
    for width in (2, 12, 10, _BAR, 10, 8, 6, None):
        table.add_column(width=width, no_wrap=width is not None)
    for stage in job.stages:
        mark, style = _STYLES.get(stage.state, _BROKEN)
        table.add_row(
            Text(f" {mark}", style=style),
            Text(plain(stage.stage)),
            Text(plain(stage.state), style=style),
            _bar(stage),
            f"attempt {stage.attempt}" if stage.attempt > 1 else "",
            Text(_seconds(stage), justify="right"),
            money(stage.cost_usd),
            Text(plain("  ".join(part for part in (_tiles(stage), _why(stage)) if part))),
        )
    return table


def cost(job: JobStatus) -> str:
    """What it cost, or while nothing is paid what it is expected to cost."""
    return money(job.cost_usd) or (f"~{money(job.estimated_usd)}" if job.estimated_usd else "")


def _overview(jobs: list[JobStatus], most: int, names: Mapping[str, str]) -> Group:
    table = Table(box=None, show_header=False)
    for job in sorted(jobs, key=lambda job: job.has_ended)[:most]:
        mark, style = _STYLES.get(job.state, _BROKEN)
        running = next((each for each in job.stages if each.stage == job.stage), None)
        what = str(job.error) if job.error else stage_line(running) if running else ""
        table.add_row(
            Text(plain(f"{mark} {job.job_id[:_SHORT_ID]}"), style=style),
            Text(plain(names.get(job.job_id, "")[-_NAME_CHARS:]), no_wrap=True),
            Text(plain(job.state), style=style),
            ProgressBar(total=1.0, completed=job.progress, width=_BAR),
            cost(job),
            Text(plain(what), no_wrap=True, overflow="ellipsis"),
        )
    ended = sum(job.has_ended for job in jobs)
    paid = sum(job.cost_usd for job in jobs)
    left_out = f", {len(jobs) - most} not shown" if len(jobs) > most else ""
    return Group(table, Text(f"{ended} of {len(jobs)} ended, ${paid:.2f}{left_out}", style="bold"))


def _bar(stage: StageStatus) -> RenderableType:
    if stage.state == "RUNNING" and stage.tiles_total:
        return ProgressBar(total=stage.tiles_total, completed=stage.tiles_done or 0, width=_BAR)
    if stage.state == "RUNNING":
        return ProgressBar(pulse=True, width=_BAR)
    done = 1 if stage.state == "SUCCEEDED" else 0
    return ProgressBar(total=1, completed=done, width=_BAR, finished_style="green")


def _tiles(stage: StageStatus) -> str:
    if stage.state != "RUNNING":
        return ""
    if stage.queue_ahead:
        return f"{stage.queue_ahead} ahead in the GPU's queue"
    return f"tile {stage.tiles_done or 0} of {stage.tiles_total}" if stage.tiles_total else ""


def _seconds(stage: StageStatus) -> str:
    if stage.duration_ms is not None and stage.state != "RUNNING":
        return f"{stage.duration_ms / 1000:.1f} s"
    if stage.state == "RUNNING" and stage.started_at:
        since = datetime.now(UTC) - datetime.fromisoformat(stage.started_at)
        return f"{max(0.0, since.total_seconds()):.0f} s"
    return ""


def _why(stage: StageStatus) -> str:
    if stage.error is None:
        again = f"again: {stage.repeat_reason}" if stage.repeat_reason else ""
        return "reused from an earlier job" if stage.cached else again
    if stage.state == "WAITING" and stage.waiting_until:
        left = (datetime.fromisoformat(stage.waiting_until) - datetime.now(UTC)).total_seconds()
        return f"again in {max(0.0, left):.0f} s: {stage.error}"
    return str(stage.error)
