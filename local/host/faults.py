"""Faults at chosen points of the durable machinery, for tests.

``HOST_FAULTS_FILE`` names a JSON file with a list of faults::

    [{"point": "after_activity", "name": "upscale", "at": 1, "action": "kill"}]

``point``: ``before_episode`` and ``after_episode`` of an orchestrator (``at``: number of history events
it sees), ``before_activity`` and ``after_activity`` (``at``: how often the activity was called in this
host; after: the activity ran, but its completion is not recorded yet). ``name``: of the function.
``action``: ``kill`` ends the host's process at once, ``replay`` throws the work item's result away, so
that it is delivered again. Each fault fires once; what fired is kept in the state folder, so that a
host that is started again goes on.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POINTS = {"before_episode", "after_episode", "before_activity", "after_activity"}
ACTIONS = {"kill", "replay"}
_KILLED = 137


class FaultsFileError(Exception):
    """The file of faults is malformed."""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    point: str
    name: str
    at: int
    action: str

    @property
    def key(self) -> str:
        """Names the fault in the record of what fired."""
        return f"{self.point}/{self.name}/{self.at}/{self.action}"


class FaultInjector:
    """Knows which faults are to come."""

    def __init__(self, faults: list[Fault], fired_file: Path) -> None:
        self._lock = threading.Lock()
        self._file = fired_file
        self._calls: Counter[str] = Counter()
        fired = set(json.loads(fired_file.read_text())) if fired_file.exists() else set()
        self._fired: set[str] = fired
        self._faults = faults

    @classmethod
    def from_file(cls, path: Path | None, state_dir: Path) -> FaultInjector:
        """Read the faults; None means there are none. Raises ``FaultsFileError``."""
        faults = [_fault(each) for each in _read(path)] if path else []
        return cls(faults, state_dir / "faults-fired.json")

    def count(self, name: str) -> int:
        """Count a call of an activity and answer its number, from 1."""
        with self._lock:
            self._calls[name] += 1
            return self._calls[name]

    def strike(self, point: str, name: str, at: int) -> bool:
        """Fire what stands for this point; True when the work item must be delivered again."""
        with self._lock:
            fault = next((each for each in self._faults if self._stands(each, point, name, at)), None)
            if fault is None:
                return False
            self._fired.add(fault.key)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(sorted(self._fired)))
            temporary.replace(self._file)
        if fault.action == "kill":
            os._exit(_KILLED)
        return True

    def _stands(self, fault: Fault, point: str, name: str, at: int) -> bool:
        here = (fault.point, fault.name, fault.at) == (point, name, at)
        return here and fault.key not in self._fired


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
        fault = Fault(str(given["point"]), str(given["name"]), int(given["at"]), str(given["action"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FaultsFileError(f"not a fault: {given}") from error
    if fault.point not in POINTS or fault.action not in ACTIONS:
        raise FaultsFileError(f"unknown point or action: {given}")
    return fault
