"""``make drill NAME=functions-host``: the app on Microsoft's durable extension, with Azurite.

It needs a Functions host as one program, named by ``FUNCHOST``, and Python 3.13 for Microsoft's worker
library; without them it says so and ends with 0. Jobs come by HTTP, by polling and by Event Grid; the GPU
service fails and is busy; batches run and are cancelled; host and worker are killed at five places around the
paid call. At the end each instance's history replays through the local host's walker, with equal actions,
ids and timers. The last line is JSON. ``.run/functions-host/last`` keeps the logs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from drills.functions_host import answers, deaths, replays, scenarios
from drills.functions_host.places import PLACES
from drills.functions_host.python import PythonMissingError, interpreter
from drills.functions_host.report import Report
from drills.functions_host.world import FunctionsHost, Site, running
from testbed.stack import ROOT

_PROGRAM = ROOT.parent / "shared/tools/funchost/funchost"
_EVENT_GRID = {"BLOB_TRIGGER_SOURCE": "eventgrid"}
# five minutes is what the extension lets messages of a dead host wait by default
_STOOD_STILL_S = 420.0
_END_LIMIT_S = 120.0


def main(arguments: list[str]) -> int:
    """Returns 0 when everything was as it has to be, or nothing could run here; else 1."""
    chosen = _parser().parse_args(arguments)
    # a drill that is stopped ends its processes, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    host = None
    if chosen.host == "functions":
        program = Path(os.environ.get("FUNCHOST") or _PROGRAM)
        if not program.exists():
            return _skip(f"there is no Functions host at {program}: FUNCHOST names one")
        try:
            host = FunctionsHost(program, interpreter())
        except PythonMissingError as error:
            return _skip(f"{error}")
    if chosen.answers:
        return answers.run(host)
    report = Report()
    with running(host) as site:
        try:
            (_short if chosen.short else _long)(site, report, chosen)
        except Exception as error:
            # the sums are wanted also where a scenario broke
            traceback.print_exc()
            report.expect(False, f"broke off: {type(error).__name__}: {error}")
        summary = report.close(site, _END_LIMIT_S)
        if site.host is not None:
            summary |= replays.check(site, report)
    transactions = report.seen.get("by_http", {}).get("transactions_per_job")
    summary |= {"transactions_per_job": transactions, "violations": len(report.violations)}
    sys.stdout.write(json.dumps({"seen": report.seen, "violations": report.violations}) + "\n")
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if report.violations else 0


def _short(site: Site, report: Report, chosen: argparse.Namespace) -> None:
    """The quick scenarios, two kills, and a GPU that is busy for a moment."""
    _entrances(site, report, idle_s=10)
    killed = deaths.kill_host(site, report, ["paid_call_is_out"])
    killed_workers = deaths.kill_worker(site, report, _places_of_workers(site, ["billed_without_answer"]))
    scenarios.cancelled_batch(site, report)
    scenarios.busy_gpu(site, report, min(chosen.busy_s, 15))
    deaths.stood_still(site, report, "kill_worker", killed_workers, _STOOD_STILL_S)
    deaths.stood_still(site, report, "kill_host", killed, _STOOD_STILL_S)


def _long(site: Site, report: Report, chosen: argparse.Namespace) -> None:
    _entrances(site, report, idle_s=30)
    # the longest wait first: what follows runs while the killed jobs stand still
    killed = deaths.kill_host(site, report, list(PLACES))
    killed_workers = deaths.kill_worker(site, report, _places_of_workers(site, list(PLACES)))
    scenarios.cancelled_batch(site, report)
    scenarios.batch(site, report)
    scenarios.busy_gpu(site, report, chosen.busy_s)
    scenarios.first_step(site, report)
    deaths.stood_still(site, report, "kill_worker", killed_workers, _STOOD_STILL_S)
    deaths.stood_still(site, report, "kill_host", killed, _STOOD_STILL_S)
    deaths.function_timeout(site, report)


def _places_of_workers(site: Site, places: list[str]) -> list[str]:
    """The local host has no worker of its own that could die."""
    return places if site.host is not None else []


def _entrances(site: Site, report: Report, idle_s: float) -> None:
    """Jobs that come in each way, and what needs nobody to die."""
    scenarios.by_http(site, report, idle_s)
    scenarios.by_polling(site, report)
    if site.host is not None:
        site.restart_host(**_EVENT_GRID)
        scenarios.by_event_grid(site, report)
    scenarios.failing_gpu(site, report)
    scenarios.suspend_and_resume(site, report)
    scenarios.chunked_body(site, report)


def _skip(reason: str) -> int:
    sys.stdout.write(reason + "\n" + json.dumps({"skipped": True}) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drills functions-host", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two kills and no functionTimeout: four minutes")
    parser.add_argument(
        "--host",
        choices=["functions", "local"],
        default="functions",
        help="local: the same on the project's own local host, as far as it applies",
    )
    parser.add_argument(
        "--answers", action="store_true", help="only what small orchestrators at the edges come to: a minute"
    )
    parser.add_argument(
        "--busy-s", type=float, default=120.0, help="how long the GPU service is busy (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
