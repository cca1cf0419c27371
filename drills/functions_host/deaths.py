"""Processes that die around the paid call: by kill -9, and by the host's own functionTimeout."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drills.functions_host.gateway import UPSCALE
from drills.functions_host.places import PLACES
from drills.functions_host.report import Report
from drills.functions_host.world import Site
from imagery.contracts import JobState

_TIMEOUT_S = 20
_BYSTANDER_AFTER_S = 12.0
_LIMIT_S = 120.0
# host.json has the messages of a dead host come back after a minute; a lost answer is given up a little later
_STANDS_STILL_S = 120.0


@dataclass(frozen=True)
class Killed:
    """A job whose process died at ``place``."""

    job_id: str
    place: str
    at: datetime


def kill_host(site: Site, report: Report, places: list[str]) -> list[Killed]:
    """kill -9 of host and worker while a job is at each place; the host is up again at once."""
    return [_kill(site, report, place, "host") for place in places]


def kill_worker(site: Site, report: Report, places: list[str]) -> list[Killed]:
    """kill -9 of the worker alone while a job is at each place."""
    return [_kill(site, report, place, "worker") for place in places]


def _kill(site: Site, report: Report, place: str, victim: str) -> Killed:
    with PLACES[place](site) as job_id:
        died = datetime.now(UTC)
        if victim == "host":
            site.kill_host()
        else:
            site.kill_worker()
    report.kills += 1
    back_s = (datetime.now(UTC) - died).total_seconds()
    report.tell(f"kill_{victim}", **{place: f"back after {back_s:.1f} s"})
    return Killed(job_id, place, died)


def stood_still(site: Site, report: Report, scenario: str, killed: list[Killed], limit_s: float) -> None:
    """Wait for the jobs, and tell how long after its kill each ended, and how."""
    ends = site.wait_for_end([each.job_id for each in killed], limit_s)
    for each in killed:
        status = ends.get(each.job_id)
        if status is None or status["finished_at"] is None:
            report.expect(False, f"{scenario}: {each.job_id}, killed at {each.place}, has not ended")
            continue
        seconds = (datetime.fromisoformat(status["finished_at"]) - each.at).total_seconds()
        report.expect(seconds <= _STANDS_STILL_S, f"{scenario}: {each.place} stood still for {seconds:.0f} s")
        report.tell(scenario, **{f"{each.place}_s": round(seconds, 1), f"{each.place}_end": _end(status)})


def function_timeout(site: Site, report: Report) -> None:
    """An activity that passes functionTimeout takes the worker with it, and a paid call beside it.

    The product's own bounds keep every activity far below; here the timeout is pulled below them.
    """
    site.set_function_timeout(f"00:00:{_TIMEOUT_S}")
    site.restart_host()
    hold = site.gateway.hold(UPSCALE)
    begun = time.monotonic()
    late = site.submit()
    while hold.job_id is None:
        time.sleep(0.05)
    time.sleep(_BYSTANDER_AFTER_S)
    site.stack.faults("timeout_after_billing")
    bystander = site.submit()
    time.sleep(_TIMEOUT_S - (time.monotonic() - begun) + 4)
    hold.release()
    ends = site.wait_for_end([late, bystander], _LIMIT_S)
    end, beside = _end(ends.get(late)), _end(ends.get(bystander))
    report.expect(end == JobState.COMPLETED, f"function_timeout: {late} is {end}")
    calls = len(site.gateway.calls_of(late, UPSCALE))
    report.tell("function_timeout", calls_of_the_late_job=calls, late_job=end, bystander=beside)
    site.set_function_timeout(None)
    site.restart_host()


def _end(status: dict[str, Any] | None) -> str:
    """The code of the job's error, or its state."""
    if status is None:
        return "lost"
    return str(status["error"]["code"] if status["error"] else status["state"])
