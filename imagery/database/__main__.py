"""``python -m imagery.database upgrade|current|downgrade REVISION|revision MESSAGE``."""

from __future__ import annotations

import argparse
import sys

from imagery.database.engine import get_database, maintenance_engine
from imagery.database.grants import grant
from imagery.database.migrate import current_revision, downgrade, head_revision, upgrade, write_revision


def main(arguments: list[str]) -> int:
    """Run one command against DATABASE_URL."""
    parser = argparse.ArgumentParser(
        prog="python -m imagery.database", description="Schema of the database that DATABASE_URL names."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("upgrade", help="bring the schema up to date")
    up.add_argument("revision", nargs="?", default="head")
    up.add_argument("--grant", metavar="ROLE", help="then let this PostgreSQL role use the tables")
    commands.add_parser("current", help="show the revision of the database and of the code")
    down = commands.add_parser("downgrade", help="take the schema back")
    down.add_argument("revision")
    new = commands.add_parser("revision", help="write a migration to the tables of the code")
    new.add_argument("message", help="what it changes, in a few words: its first line")
    chosen = parser.parse_args(arguments)
    if chosen.command == "revision":
        sys.stdout.write(f"{write_revision(chosen.message)}\n")
        return 0
    engine = get_database().engine
    if chosen.command == "upgrade":
        upgrade(engine, chosen.revision)
        if chosen.grant:
            grant(engine, maintenance_engine(), chosen.grant)
    elif chosen.command == "downgrade":
        downgrade(engine, chosen.revision)
    sys.stdout.write(f"database {current_revision(engine)}, code {head_revision()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
