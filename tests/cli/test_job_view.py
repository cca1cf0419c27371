"""How jobs look while they run."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from imagery_client.job_view import end_line, jobs_view, stage_line
from imagery_client.model import JobStatus, StageStatus


def stage(name: str, state: str = "PENDING", **more: Any) -> StageStatus:
    return StageStatus.model_validate({"stage": name, "state": state, **more})


def job(number: int = 1, state: str = "RUNNING", **more: Any) -> JobStatus:
    stages = [
        stage("guardrail", "SUCCEEDED", attempt=1, duration_ms=40.0),
        stage("rembg", "SUCCEEDED", attempt=1, duration_ms=900.0),
        stage("realesrgan", "RUNNING", attempt=2, started_at=datetime.now(UTC).isoformat()),
        stage("nano_banana"),
    ]
    known = {"job_id": f"job-{number:08d}-rest", "state": state, "stage": "realesrgan", "progress": 0.5}
    rest = {"source": "jobs/a", "created_at": "2030-01-01T00:00:00Z"}
    return JobStatus.model_validate({**known, **rest, "stages": stages, **more})


def shown(*jobs: JobStatus, height: int = 40, notice: str = "", names: dict[str, str] | None = None) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(jobs_view(jobs, height, notice, names))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_running_stage_shows_its_tiles() -> None:
    running = stage("realesrgan", "RUNNING", attempt=1, tiles_done=3, tiles_total=16)
    assert "tile 3 of 16" in stage_line(running)
    assert "tile" not in stage_line(
        stage("realesrgan", "RUNNING", attempt=1, tiles_done=None, tiles_total=None)
    )


def test_a_stage_in_the_queue_of_the_gpu_shows_how_many_are_ahead() -> None:
    queued = stage("realesrgan", "RUNNING", attempt=1, queue_ahead=2, tiles_done=0, tiles_total=16)
    assert "2 ahead in the GPU's queue" in stage_line(queued)
    assert "tile" not in stage_line(queued)


def test_a_waiting_stage_shows_why_and_until_when() -> None:
    until = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    error = {"code": "gpu_busy", "message": "The queue is full."}
    waiting = stage("rembg", "WAITING", attempt=3, duration_ms=12.0, waiting_until=until, error=error)
    line = stage_line(waiting)
    assert line.startswith("rembg  WAITING  attempt 3")
    assert "gpu_busy: The queue is full." in line
    assert "again in 30 s" in line or "again in 29 s" in line


def test_one_job_has_a_line_for_each_stage() -> None:
    text = shown(job())
    for name in ("guardrail", "rembg", "realesrgan", "nano_banana"):
        assert sum(name in line for line in text.splitlines()) == 1
    assert "attempt 2" in text


def test_many_jobs_have_a_line_each_open_ones_first_and_as_many_as_fit() -> None:
    done = [job(number, "COMPLETED", progress=1.0, cost_usd=0.08) for number in range(10)]
    text = shown(*done, job(77), height=8)
    lines = text.splitlines()
    assert "job-00000077" in lines[0]
    assert "10 of 11 ended, $0.80, 6 not shown" in lines[-1]


def test_untrusted_text_can_not_style_the_terminal() -> None:
    error = {"code": "x", "message": "[bold red]boo[/] \x1b[31m\x07"}
    failed = job(1, "FAILED", error=error, stages=[stage("realesrgan", "FAILED", attempt=1, error=error)])
    text = shown(failed)
    assert "[bold red]boo[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "x: [bold red]boo[/]" in end_line(failed)


def test_a_host_that_is_away_is_reported() -> None:
    assert "trying again" in shown(job(), notice="No answer; trying again")


@pytest.mark.parametrize("number_of_jobs", [1, 9])
def test_a_job_is_shown_with_the_name_of_its_photo(number_of_jobs: int) -> None:
    jobs = [job(number) for number in range(number_of_jobs)]
    text = shown(*jobs, names={each.job_id: f"cup-{at}.jpg" for at, each in enumerate(jobs)})
    assert all(f"cup-{at}.jpg" in text for at in range(number_of_jobs))
