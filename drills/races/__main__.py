"""``make drill NAME=races``: 8 processes reserve money at once, then probe one circuit."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from drills.races import probes, reservations
from imagery.database.engine import make_engine
from imagery.database.migrate import upgrade
from testbed.postgres import is_installed, start_postgres


def main(arguments: list[str]) -> int:
    """Run both on SQLite, and on PostgreSQL where it is installed. Returns 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m drills races", description=__doc__)
    parser.add_argument(
        "--reservations",
        type=int,
        default=10_000,
        help="reservations against a budget for a tenth of them (%(default)s)",
    )
    parser.add_argument("--probes", type=int, default=200, help="probes of the circuit (%(default)s)")
    asked = parser.parse_args(arguments)
    budget = asked.reservations // 10
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        urls = {"sqlite": f"sqlite:///{folder}/races.db"}
        server = start_postgres() if is_installed() else None
        if server:
            urls["postgresql"] = server.url
        try:
            for kind, url in urls.items():
                engine = make_engine(url)
                upgrade(engine)
                engine.dispose()
                race = reservations.run(url, processes=8, reservations=asked.reservations, budget=budget)
                probed = probes.run(url, processes=8, failing=asked.probes)
                broken += race["granted"] != budget or race["entries"] != budget or probed["two_at_once"] > 0
                sys.stdout.write(
                    json.dumps({"database": kind, "reservations": race, "probes": probed}) + "\n"
                )
                sys.stdout.flush()
        finally:
            if server:
                server.close()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
