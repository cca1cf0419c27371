"""What is known of a circuit, and when it opens and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from imagery.backoff import JITTER
from imagery.settings import Settings

_MOST_DOUBLINGS = 30


class GuardedDependency(StrEnum):
    """A service that can be down for all jobs at once."""

    GPU = "gpu"
    NANO_BANANA = "nano_banana"
    NANO_BANANA_FALLBACK = "nano_banana_fallback"
    CONTENT_SAFETY = "content_safety"


class CircuitState(StrEnum):
    """State of a circuit."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitOpenError(Exception):
    """No call may be made now; try again in ``wait_s`` seconds."""

    code = "circuit_open"

    def __init__(self, circuit: Circuit, wait_s: float) -> None:
        name = circuit.dependency.value
        if circuit.forced:
            text = f"An operator has stopped all calls to {name}; jobs wait until it allows them."
        elif circuit.failures == 0:
            text = f"No calls are made to {name} for now ({circuit.last_error}); jobs wait."
        else:
            text = f"Calls to {name} keep failing ({circuit.last_error}); jobs wait until it recovers."
        super().__init__(text)
        self.dependency = circuit.dependency
        self.forced = circuit.forced
        self.last_error = circuit.last_error
        self.wait_s = wait_s


@dataclass(frozen=True)
class Circuit:
    """What is known of one circuit. ``probe_at``: when a probe is let through."""

    dependency: GuardedDependency
    state: CircuitState = CircuitState.CLOSED
    forced: bool = False
    failures: int = 0
    openings: int = 0
    last_error: str | None = None
    changed_by: str | None = None
    changed_at: datetime | None = None
    probe_at: datetime | None = None
    probe_until: datetime | None = None


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens and for how long. ``read_s``: how old the state that is used may be."""

    failures: int
    open_s: float
    cap_s: float
    read_s: float
    jitter: float

    @classmethod
    def of(cls, settings: Settings) -> BreakerPolicy:
        """The policy of the settings."""
        return cls(
            failures=settings.jobs.circuit.failures,
            open_s=settings.jobs.circuit.open_s,
            cap_s=settings.jobs.circuit.cap_s,
            read_s=settings.jobs.circuit.read_s,
            jitter=JITTER,
        )

    def open_for(self, openings: int) -> timedelta:
        """How long the circuit stays open after ``openings`` openings in a row."""
        return timedelta(seconds=min(self.open_s * 2 ** min(openings - 1, _MOST_DOUBLINGS), self.cap_s))
