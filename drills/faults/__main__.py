"""``make drill NAME=faults``: a host dies at every point of every scenario; the last line is JSON."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drills.faults.harness import LANES, Harness
from drills.faults.scenarios import SCENARIOS
from drills.faults.two_hosts import Size, TwoHosts
from drills.faults.world import World
from imagery.telemetry.logs import configure_logging


def main(arguments: list[str]) -> int:
    """Returns 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drills faults", description=__doc__)
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    parser.add_argument("--lanes", type=int, default=LANES, help="runs at once (default %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="only every Nth point")
    parser.add_argument(
        "--two-hosts",
        type=int,
        default=1,
        metavar="N",
        help="N times 26 jobs and 8 kills at two hosts (%(default)s)",
    )
    given = parser.parse_args(arguments)
    configure_logging("ERROR")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    with World(folder, given.lanes) as world, ThreadPoolExecutor(1) as pool:
        harness = Harness(world)
        # it mostly waits, and so takes no time of its own
        both = None if given.only else pool.submit(TwoHosts(world, Size().times(given.two_hosts)).run)
        harness.run([each for each in SCENARIOS if given.only in each.name], given.only, given.every)
        if both is not None:
            outcome = both.result()
            harness.tally.violations += outcome.violations
            sys.stdout.write(f"two hosts, {outcome.kills} kills, {outcome.jobs} jobs: {outcome.ends}\n")
    tally = harness.tally
    for name, count in tally.struck.items():
        sys.stdout.write(f"{count:5} points: {name}\n")
    for place in tally.unsteady:
        sys.stdout.write(f"recorded, and never reached again: {place}\n")
    for violation in tally.violations:
        sys.stdout.write(f"{violation}\n")
    sys.stdout.write(f"{tally.seconds:.0f} s\n")
    if tally.violations:
        sys.stdout.write(f"logs are in {folder}\n")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(tally.line()) + "\n")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
