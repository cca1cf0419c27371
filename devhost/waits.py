"""What an orchestrator waits for, and how long a retried call waits before its next attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

Action = dict[str, Any]
EPOCH = datetime.fromtimestamp(0, UTC)
# the extension's cap where the policy has none
_LONGEST_RETRY = timedelta(days=6)


class Node(Protocol):
    """Something the orchestrator waits for."""

    @property
    def done(self) -> bool:
        """True when the wait has ended."""
        ...


@dataclass
class Leaf:
    """One task, timer or event."""

    done: bool = False


@dataclass
class Group:
    """Waits for all of its children, or for any of them."""

    children: list[Node]
    needs_all: bool

    @property
    def done(self) -> bool:
        """True when all have ended, or one has."""
        ends = [child.done for child in self.children]
        return all(ends) if self.needs_all else any(ends)


@dataclass
class RetriedCall(Leaf):
    """A task that is scheduled again after failures."""

    action: Action = field(default_factory=dict)
    first_attempt: datetime = EPOCH
    attempt: int = 1
    exhausted: bool = False


def retry_delay(options: dict[str, Any], attempt: int, since_first: timedelta = timedelta()) -> timedelta:
    """The wait after the ``attempt``-th failure: first interval x coefficient^(n-1), capped.

    Zero, for no more attempts, if ``since_first`` (the time since the first one) has reached
    ``retryTimeoutInMilliseconds``.
    """
    timeout_ms = options.get("retryTimeoutInMilliseconds")
    if timeout_ms is not None and since_first >= timedelta(milliseconds=float(timeout_ms)):
        return timedelta()
    cap_ms = options.get("maxRetryIntervalInMilliseconds")
    cap = _LONGEST_RETRY if cap_ms is None else timedelta(milliseconds=float(cap_ms))
    coefficient = options.get("backoffCoefficient")
    try:
        factor = (1.0 if coefficient is None else float(coefficient)) ** (attempt - 1)
        wait = timedelta(milliseconds=float(options["firstRetryIntervalInMilliseconds"]) * factor)
    except OverflowError:
        return cap
    return min(wait, cap)
