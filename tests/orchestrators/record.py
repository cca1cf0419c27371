"""Keeps what the orchestrators of today do, so that those of tomorrow can be held to it.

``python -m tests.orchestrators.record VERSION`` writes the history of each scenario to
``histories/VERSION``. Record once before an orchestrator is changed; what is recorded is never changed
again, because it stands for instances that are in flight.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.orchestrators.replay import Run
from tests.orchestrators.scenarios import SCENARIOS, Scenario

HISTORIES = Path(__file__).parent / "histories"
INSTANCE = "instance"


def recording(scenario: Scenario) -> dict[str, Any]:
    """One run: the input, the whole history, and what was answered to each of its prefixes."""
    done = Run(scenario.orchestrator, scenario.given, scenario.script())
    episodes = [
        {
            "events": length,
            "actions": state["actions"],
            "custom_status": state.get("customStatus"),
            "is_done": state["isDone"],
            "output": state.get("output"),
        }
        for length, state, _ in done.episodes
    ]
    return {
        "orchestrator": scenario.orchestrator,
        "instance_id": INSTANCE,
        "input": scenario.given,
        "history": done.history,
        "episodes": episodes,
    }


def record(folder: Path) -> int:
    """Write every scenario; how many. Raises ``FileExistsError`` rather than overwrite a version."""
    folder.mkdir(parents=True)
    for name, scenario in SCENARIOS.items():
        (folder / f"{name}.json").write_text(json.dumps(recording(scenario), indent=1) + "\n")
    return len(SCENARIOS)


def main(arguments: list[str]) -> int:
    """Record a version: 0, or 2 with one line when it exists."""
    parser = argparse.ArgumentParser(prog="python -m tests.orchestrators.record", description=__doc__)
    parser.add_argument("version", help="name of the version, such as 2")
    given = parser.parse_args(arguments)
    try:
        count = record(HISTORIES / given.version)
    except FileExistsError:
        sys.stderr.write(f"version {given.version} is recorded already, and is not changed any more\n")
        return 2
    sys.stdout.write(f"{count} histories\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
