"""Faults at chosen points of the durable machinery, for tests.

``--faults FILE`` or ``HOST_FAULTS_FILE`` names a JSON file with a list of faults::

    [{"point": "after_activity", "name": "upscale", "at": 1, "action": "kill"}]

``point``
    ``before_episode`` and ``after_episode`` of an orchestrator; ``before_activity``; ``after_activity``:
    it ran, but its completion is not recorded yet.
``name``
    Of the orchestrator or activity.
``at``
    Orchestrators: the number of a history event, from 1; the fault fires at the first episode that sees
    it. Activities: the number of the call in this host process, from 1. What comes later counts too.
``action``
    ``kill`` ends the host's process at once with exit code 137. ``replay`` throws the work item's result
    away, so that it is delivered again: the activity or the episode runs once more.
``times``
    How often it fires, 1 if not given.

What fired is written to ``faults-fired.json`` in the state folder before it happens, so that a host that
is started again does not fire it again. In a test: ``FaultInjector([Fault(...)], file)``.
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
    times: int = 1

    @property
    def key(self) -> str:
        """Names the fault in the record of what fired."""
        return f"{self.point}/{self.name}/{self.at}/{self.action}"


class FaultInjector:
    """Knows which faults are to come, and how often each activity was called."""

    def __init__(self, faults: list[Fault], fired_file: Path) -> None:
        self._lock = threading.Lock()
        self._file = fired_file
        self._calls: Counter[str] = Counter()
        self._fired: Counter[str] = Counter(_read_fired(fired_file) if faults else {})
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

    def strike(self, point: str, name: str, reached: int) -> bool:
        """Fire what stands for this point; True when the work item must be delivered again."""
        with self._lock:
            fault = next((each for each in self._faults if self._stands(each, point, name, reached)), None)
            if fault is None:
                return False
            self._fired[fault.key] += 1
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(self._fired))
            temporary.replace(self._file)
        if fault.action == "kill":
            os._exit(_KILLED)
        return True

    def _stands(self, fault: Fault, point: str, name: str, reached: int) -> bool:
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
    if fault.point not in POINTS or fault.action not in ACTIONS:
        raise FaultsFileError(f"unknown point or action: {given}")
    return fault
