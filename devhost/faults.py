"""Faults at chosen points of the durable machinery and of what it does outside, for tests.

``--faults FILE`` or ``HOST_FAULTS_FILE`` names a JSON file with a list of faults::

    [{"point": "after_activity", "name": "upscale", "at": 1, "action": "kill"}]

``point``
    ``before_episode`` and ``after_episode`` of an orchestrator; ``before_activity``; ``after_activity``:
    it ran, but its completion is not recorded yet. The points of ``side_effects.py``.
``name``
    Name of the orchestrator, activity or side effect.
``at``
    Orchestrators: the number of a history event, from 1; the fault fires at the first episode that sees
    it. All others: how often the point was reached in this host process, from 1. Later ones count
    too.
``action``
    ``kill`` ends the host's process at once with exit code 137. ``replay`` throws the work item's result
    away, so that it is delivered again: the activity or the episode runs once more. ``hold`` waits until
    the state folder holds a file ``faults-released``, at most a minute. ``record`` (of the point
    ``*`` with the name ``*``) writes each point that is passed to ``faults-passed.jsonl`` there.
``times``
    How often it fires; 1 by default.

``faults-fired.json`` in the state folder names each fault before it fires, so that a restarted host does not
fire it again. In a test: ``FaultInjector([Fault(...)], file)``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POINTS = {
    "before_episode",
    "after_episode",
    "before_activity",
    "after_activity",
    "before_commit",
    "after_commit",
    "before_request",
    "sent_request",
    "after_request",
    "before_file",
    "after_file",
}
FIRED_FILE, PASSED_FILE, RELEASE_FILE = "faults-fired.json", "faults-passed.jsonl", "faults-released"
_ACTIONS = {"kill", "replay", "hold", "record"}
_ANY = "*"
_KILLED = 137
_LONGEST_HOLD_S = 60.0
_HOLD_STEP_S = 0.01


class FaultsFileError(Exception):
    """The file of faults is malformed."""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    point: str
    name: str
    at: int
    action: str
    times: int = 1

    @property
    def key(self) -> str:
        """The fault's name in the file of faults that fired."""
        return f"{self.point}/{self.name}/{self.at}/{self.action}"


class FaultInjector:
    """Fires faults, and counts how often each point was reached."""

    def __init__(self, faults: list[Fault], fired_file: Path) -> None:
        self._lock = threading.Lock()
        self._file = fired_file
        self._folder = fired_file.parent
        self._records = any(each.action == "record" for each in faults)
        self._calls: Counter[str] = Counter()
        self._fired: Counter[str] = Counter(_read_fired(fired_file) if faults else {})
        self._faults = faults

    @classmethod
    def from_file(cls, path: Path | None, state_dir: Path) -> FaultInjector:
        """Read the faults; None means there are none. Raises ``FaultsFileError``."""
        faults = [_fault(each) for each in _read(path)] if path else []
        return cls(faults, state_dir / FIRED_FILE)

    def count(self, name: str) -> int:
        """Count a call of an activity, or a side effect. Returns its number, from 1."""
        with self._lock:
            self._calls[name] += 1
            return self._calls[name]

    def reach(self, point: str, name: str) -> None:
        """Count a point that is not a work item, and fire its fault."""
        self.strike(point, name, self.count(f"{point}/{name}"))

    def strike(self, point: str, name: str, reached: int) -> bool:
        """Fire the fault of this point. Returns True if the work item must be delivered again."""
        with self._lock:
            if self._records:
                self._record(point, name, reached)
            fault = next((each for each in self._faults if self._matches(each, point, name, reached)), None)
            if fault is None:
                return False
            self._fired[fault.key] += 1
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(self._fired))
            temporary.rename(self._file)
        if fault.action == "kill":
            os._exit(_KILLED)
        if fault.action == "hold":
            self._hold()
        return fault.action == "replay"

    def _record(self, point: str, name: str, reached: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / PASSED_FILE).open("a") as file:
            file.write(json.dumps({"point": point, "name": name, "at": reached}) + "\n")

    def _hold(self) -> None:
        until = time.monotonic() + _LONGEST_HOLD_S
        while time.monotonic() < until and not (self._folder / RELEASE_FILE).exists():
            time.sleep(_HOLD_STEP_S)

    def _matches(self, fault: Fault, point: str, name: str, reached: int) -> bool:
        here = (fault.point, fault.name) == (point, name) and reached >= fault.at
        return here and self._fired[fault.key] < fault.times


def _read_fired(path: Path) -> dict[str, int]:
    try:
        fired = json.loads(path.read_text())
        return {str(key): int(count) for key, count in fired.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FaultsFileError(f"{path}: {error}") from error


def _read(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FaultsFileError(f"{path}: {error}") from error
    if not isinstance(content, list):
        raise FaultsFileError(f"{path} must hold a list")
    return content


def _fault(given: Any) -> Fault:
    try:
        fault = Fault(
            point=str(given["point"]),
            name=str(given["name"]),
            at=int(given["at"]),
            action=str(given["action"]),
            times=int(given.get("times", 1)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FaultsFileError(f"not a fault: {given}") from error
    is_point = fault.point in POINTS or (fault.point, fault.action) == (_ANY, "record")
    if not is_point or fault.action not in _ACTIONS:
        raise FaultsFileError(f"unknown point or action: {given}")
    return fault
