"""``make faults``: a host dies at every point of every scenario; the last line is JSON."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from imagery.telemetry.logs import configure_logging
from tests.faults.harness import Harness
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

_LANES = 4


def main(arguments: list[str]) -> int:
    """0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="only scenarios whose name holds this")
    parser.add_argument("--lanes", type=int, default=_LANES, help="runs at once (default %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth point")
    given = parser.parse_args(arguments)
    configure_logging("ERROR")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    scenarios = [scenario for scenario in SCENARIOS if given.only in scenario.name]
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    with World(folder, given.lanes, production=any(each.production for each in scenarios)) as world:
        harness = Harness(world)
        harness.run(scenarios, lambda number: number % given.every == 0)
    for name, count in harness.tally.struck.items():
        sys.stdout.write(f"{count:5} {name}\n")
    sys.stdout.write(f"{harness.tally.seconds:.0f} s, logs in {folder}\n")
    sys.stdout.write(json.dumps(harness.tally.line()) + "\n")
    return 1 if harness.tally.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
