"""``make drill``: lists the drills; ``make drill NAME=chaos ARGS="--jobs 50"`` runs one.

It imports nothing but the standard library, so that the list needs no setup.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Drill:
    """One program: what it does, its minutes on two cores (None if not timed), and how it is started."""

    summary: str
    minutes: int | None
    module: str
    arguments: tuple[str, ...] = ()


DRILLS: dict[str, Drill] = {
    "faults": Drill("kill the host at every point of every way a job can take", None, "drills.faults"),
    "load": Drill("200 jobs at once while a fifth of the paid calls fail", None, "drills.load"),
    "chaos": Drill(
        "the same while each process of the stack is killed 20 times",
        None,
        "drills.load",
        ("--kills", "20", "--pause-s", "20"),
    ),
    "answers": Drill("each answer of the image model, and what becomes of its job", 4, "drills.answers"),
    "crowd": Drill("one user asks for a lot at once: how long do others wait", None, "drills.crowd"),
    "soak": Drill("20 clients follow the log while the host is killed twice", 30, "drills.soak"),
    "races": Drill("8 processes against one budget and one circuit", None, "drills.races"),
    "hostile": Drill("hostile and odd files: verdict, memory and time of each", 8, "drills.hostile"),
    "tiling": Drill(
        "200 sizes of pictures upscaled in tiles and at once, by both engines", None, "drills.tiling"
    ),
    "fuzz": Drill("look for files that break the guardrail", 10, "drills.fuzz"),
    "photographs": Drill("which ordinary photographs the guardrail refuses", None, "drills.photographs"),
    "contract": Drill("generated requests against every route (schemathesis)", None, "drills.contract"),
    "package": Drill("the app from its package alone, in a venv of its requirements", 2, "drills.package"),
    "functions-host": Drill(
        "the app on Microsoft's durable extension and worker library", 8, "drills.functions_host"
    ),
    "telemetry": Drill("what Application Insights gets of one job", 2, "drills.telemetry"),
    "gpu-bench": Drill("the GPU stages against the usual script", None, "drills.gpu_bench"),
    "gpu-burst": Drill(
        "eight large photos at once, another user's small one behind them", None, "drills.gpu_burst"
    ),
    "bench-guardrail": Drill(
        "the guardrail's response time against the bare decoding", 4, "drills.bench_guardrail"
    ),
    "bench-credentials": Drill(
        "size and time of signing and reading Content Credentials", 1, "drills.bench_credentials"
    ),
    "bench-metrics": Drill(
        "/api/v1/metrics with 100,000 jobs in SQLite and PostgreSQL", 4, "drills.bench_metrics"
    ),
}


def listing() -> str:
    """One line a drill, then how to run one."""
    lines = [f"  {name:17}{_time(drill):>7}   {drill.summary}" for name, drill in DRILLS.items()]
    return "\n".join(
        [
            "Drills, and about how long each takes on two cores (-: not timed):",
            *lines,
            'Run one with make drill NAME=faults; its options: make drill NAME=faults ARGS="--help".',
            "",
        ]
    )


def _time(drill: Drill) -> str:
    return "-" if drill.minutes is None else f"{drill.minutes} min"


def main(arguments: list[str]) -> int:
    """Run the drill that the first argument names, with the other arguments.

    Returns its exit code, 0 after listing the drills, or 2 if there is no drill of that name.
    """
    if not arguments:
        sys.stdout.write(listing())
        return 0
    name, *more = arguments
    drill = DRILLS.get(name.replace("_", "-"))
    if drill is None:
        sys.stderr.write(f"There is no drill named {name!r}.\n{listing()}")
        return 2
    command = [sys.executable, "-m", drill.module, *drill.arguments, *more]
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
