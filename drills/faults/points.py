"""Points that a run passes, and which of them are worth a run of their own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from devhost.faults import FIRED_FILE, PASSED_FILE, RELEASE_FILE


@dataclass(frozen=True)
class Point:
    """Where a host can be killed: the kind, the name, and the how-manieth (episodes: the events)."""

    point: str
    name: str
    at: int

    def __str__(self) -> str:
        return f"{self.point} {self.name} {self.at}"


Way = tuple[Point, ...]


def passed(state: Path) -> Way:
    """The points that a recording host has passed up to now, in order."""
    try:
        lines = (state / PASSED_FILE).read_text().splitlines()
    except FileNotFoundError:
        return ()
    return tuple(Point(**json.loads(line)) for line in lines)


def worth_a_run(way: Way, seen: set[Way]) -> list[Point]:
    """The points of ``way`` that nothing in ``seen`` has reached in the same way; they are added to it.

    Two scenarios that have done the same up to a point are the same there.
    """
    found = []
    for length in range(1, len(way) + 1):
        if way[:length] not in seen:
            seen.add(way[:length])
            found.append(way[length - 1])
    return list(dict.fromkeys(found))


class FaultsFile:
    """What a host is told to do at which points, and what it has done."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "faults.json"
        self.state = folder / "host"
        self.state.mkdir(parents=True, exist_ok=True)
        self._keys: dict[str, str] = {}

    def write(self, *, kill: Point | None = None, hold: Point | None = None, record: bool = False) -> None:
        """Order the faults, before the host is started."""
        orders = [{**asdict(point), "action": "kill"} for point in (kill,) if point]
        orders += [{**asdict(point), "action": "hold"} for point in (hold,) if point]
        if record:
            orders.append({"point": "*", "name": "*", "at": 1, "action": "record"})
        self.path.write_text(json.dumps(orders))

    def fired(self, action: str) -> bool:
        """True when a fault with this action has fired."""
        try:
            keys = json.loads((self.state / FIRED_FILE).read_text())
        except FileNotFoundError:
            return False
        return any(key.endswith(f"/{action}") for key in keys)

    def release(self) -> None:
        """Let what is held go on."""
        (self.state / RELEASE_FILE).touch()
