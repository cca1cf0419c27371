"""The simulator's fault menu: the next calls by name, or a share of all calls at random."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from local.nano_banana_answers import BILLED, ERRORS, OTHER_PICTURES, REFUSALS

LOST = ("timeout_before_billing", "timeout_after_billing", "broken_connection", "malformed_json")
KINDS = ("429", *ERRORS, *REFUSALS, *BILLED, *OTHER_PICTURES, *LOST)
# no call can succeed until it is mended: also shown to who asks for the model's description
STANDING = frozenset({"dead_key", "suspended", "unauthenticated", "model_gone"})
_MOST_PENDING = 10_000


class FaultError(ValueError):
    """The requested faults are malformed."""


@dataclass(frozen=True)
class ProviderFault:
    """The fault of one call."""

    kind: str
    retry_delay_s: float


class ProviderFaults:
    """The pending faults; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[str] = deque()
        self._rate = 0.0
        self._kinds: list[str] = []
        self._random = random.Random(0)  # noqa: S311  # repeatable faults, no secret
        self._retry_delay_s = 2.0

    def order(self, body: Any) -> None:
        """Add ``{"next": [...]}`` or set ``{"rate", "kinds", "seed"}``. Raises ``FaultError``."""
        if not isinstance(body, dict) or not body.keys() & {"next", "rate"}:
            raise FaultError('send {"next": [names]} or {"rate": 0.2, "kinds": [names], "seed": 1}')
        following = _names(body.get("next", []))
        kinds = _names(body.get("kinds", list(KINDS)))
        rate, delay = body.get("rate"), body.get("retry_delay_s", self._retry_delay_s)
        if rate is not None and not (isinstance(rate, int | float) and 0 <= rate <= 1 and kinds):
            raise FaultError("rate must be a number from 0 to 1, with at least one kind")
        if not isinstance(delay, int | float) or delay < 0:
            raise FaultError("retry_delay_s must be a number of seconds")
        with self._lock:
            if len(self._next) + len(following) > _MOST_PENDING:
                raise FaultError(f"at most {_MOST_PENDING} faults may be pending")
            self._next.extend(following)
            self._retry_delay_s = float(delay)
            if rate is not None:
                self._rate, self._kinds = float(rate), kinds
                self._random = random.Random(body.get("seed", 0))  # noqa: S311

    def clear(self) -> None:
        """Drop all pending faults."""
        with self._lock:
            self._next.clear()
            self._rate, self._kinds = 0.0, []

    def take(self) -> ProviderFault | None:
        """Returns the fault of this call, None if it has none."""
        with self._lock:
            if self._next:
                return ProviderFault(self._next.popleft(), self._retry_delay_s)
            if self._rate and self._random.random() < self._rate:
                return ProviderFault(self._random.choice(self._kinds), self._retry_delay_s)
            return None

    def standing(self) -> str | None:
        """What holds for every call: a dead key, or a model that is gone. Returns None if nothing does."""
        with self._lock:
            is_standing = self._rate == 1.0 and len(self._kinds) == 1 and self._kinds[0] in STANDING
            return self._kinds[0] if is_standing else None

    def report(self) -> dict[str, Any]:
        """The pending faults as JSON."""
        with self._lock:
            return {"next": list(self._next), "rate": self._rate, "kinds": list(self._kinds)}


def _names(names: Any) -> list[str]:
    if not isinstance(names, list) or any(name not in KINDS for name in names):
        raise FaultError(f"faults are a list of: {', '.join(KINDS)}")
    return names
