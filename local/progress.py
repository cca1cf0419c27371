"""A job in the terminal: live on a screen, line by line elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_ENDED = {"COMPLETED", "REJECTED", "FAILED", "CANCELLED"}
_MARKS = {
    "PENDING": "[dim]·[/]",
    "RUNNING": "[cyan]▶[/]",
    "WAITING": "[yellow]…[/]",
    "SUCCEEDED": "[green]✔[/]",
    "REJECTED": "[red]✘[/]",
    "FAILED": "[red]✘[/]",
    "CANCELLED": "[yellow]■[/]",
}
_FILES = {"rembg": "1-rembg.png", "realesrgan": "2-realesrgan.png", "nano_banana": "3-nano-banana.png"}
_POLL_WAIT_S = 1
_RESPONSE_LIMIT_S = 10.0
_RETRY_S = 0.5
_SHOWN_CHARS = 300
Status = dict[str, Any]


class JobFailedError(Exception):
    """The job could not be submitted or followed."""


def submit(client: httpx.Client, image: Path) -> str:
    """Post the picture. Returns the job's id. Raises ``JobFailedError`` with the API's reason."""
    with image.open("rb") as file:
        answer = client.post("/api/v1/process", files={"file": (image.name, file)})
    body = _body(answer)
    if answer.is_error or "job_id" not in body:
        reason = body.get("detail") or answer.text[:_SHOWN_CHARS]
        raise JobFailedError(f"refused: {reason} ({body.get('code') or answer.status_code})")
    return str(body["job_id"])


def follow(
    client: httpx.Client, job_id: str, console: Console, limit_s: float, look: Callable[[], None]
) -> Status:
    """Show the job until it ends. ``look`` is called between polls. Raises ``JobFailedError``."""
    until = time.monotonic() + limit_s
    shown: set[str] = set()
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        while time.monotonic() < until:
            look()
            status = _ask(client, job_id)
            if status is None:
                # the host is being started again; the job goes on afterwards
                time.sleep(_RETRY_S)
                continue
            if console.is_terminal:
                live.update(_table(status))
            else:
                _lines(status, shown, console)
            if status["state"] in _ENDED:
                return status
    raise JobFailedError(f"the job {job_id} did not end within {limit_s:.0f} s")


def download(client: httpx.Client, job_id: str, folder: Path) -> list[Path]:
    """Download the job's pictures into ``folder``. Returns the files that exist."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for stage, name in _FILES.items():
        answer = client.get(f"/api/v1/jobs/{job_id}/images/{stage}")
        if answer.has_redirect_location:
            answer = _from_store(client, answer.headers["Location"])
        if answer.is_success:
            (folder / name).write_bytes(answer.content)
            files.append(folder / name)
    return files


def _from_store(client: httpx.Client, link: str) -> httpx.Response:
    """Follow a signed link to the store, which must not get the API key."""
    request = client.build_request("GET", link)
    request.headers.pop("X-API-Key", None)
    return client.send(request)


def _ask(client: httpx.Client, job_id: str) -> Status | None:
    """Returns the job's status, None without a response. Raises ``JobFailedError`` for an unknown job."""
    try:
        answer = client.get(
            f"/api/v1/status/{job_id}", params={"wait": _POLL_WAIT_S}, timeout=_RESPONSE_LIMIT_S
        )
    except httpx.HTTPError:
        return None
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise JobFailedError(f"the job {job_id} is unknown to the API")
    status = _body(answer)
    return status if answer.is_success and "stages" in status else None


def _body(answer: httpx.Response) -> Status:
    with contextlib.suppress(ValueError):
        body = answer.json()
        return body if isinstance(body, dict) else {}
    return {}


def _table(status: Status) -> Table:
    title = f"job {status['job_id']}  {status['state']}  ${status['cost_usd']:.2f}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
    for heading in ("", "stage", "state", "attempt", "seconds", "cost", ""):
        table.add_column(heading)
    for stage in status["stages"]:
        # only the mark is markup; error texts are untrusted
        table.add_row(_MARKS.get(stage["state"], ""), *map(Text, _row(stage)))
    return table


def _row(stage: Status) -> list[str]:
    seconds = f"{stage['duration_ms'] / 1000:.1f}" if stage["duration_ms"] is not None else ""
    cost = f"${stage['cost_usd']:.2f}" if stage["cost_usd"] else ""
    error = stage["error"]["message"] if stage["error"] else ""
    return [stage["stage"], stage["state"], str(stage["attempt"] or ""), seconds, cost, error]


def _lines(status: Status, shown: set[str], console: Console) -> None:
    for stage in status["stages"]:
        if stage["state"] == "PENDING":
            continue
        line = "  ".join(part for part in _row(stage) if part)
        key = f"{stage['stage']}/{stage['state']}/{stage['attempt']}"
        if key not in shown:
            shown.add(key)
            console.print(f"  {line}", markup=False, highlight=False)
