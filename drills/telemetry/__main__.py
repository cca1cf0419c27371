"""``make drill NAME=telemetry``: what Application Insights would get of one job."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from drills.telemetry.one_job import run_one_job
from drills.telemetry.tree import summary
from imagery.telemetry.tracing import trace_id_of


def main(arguments: list[str]) -> int:
    """Run a job and print what arrived: 0 when it completed."""
    parser = argparse.ArgumentParser(prog="python -m drills telemetry", description=__doc__)
    parser.add_argument("--exporter", choices=("opentelemetry", "opencensus"), default="opentelemetry")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        recorded = run_one_job(given.exporter, Path(folder))
    sys.stdout.write(f"{given.exporter}: job {recorded.job_id} {recorded.state}\n")
    sys.stdout.write(summary(recorded.ingestion.items, trace_id_of(recorded.job_id)) + "\n")
    return 0 if recorded.state == "COMPLETED" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
