"""A circuit that many processes want to probe: never two probes at once, and it closes in the end."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from drills.races.processes import at_once, database_of
from imagery.database.circuits import BreakerPolicy, CircuitBreakers, CircuitOpenError, GuardedDependency

Span = tuple[float, float]


def run(url: str, *, processes: int, seconds: float, hold_s: float = 0.02) -> dict[str, Any]:
    """Every process asks without pause; probes fail for the first three quarters of the time."""
    breakers = _breakers(url)
    for _ in range(3):
        with breakers.call(GuardedDependency.GPU, lease_s=60) as call:
            call.failed("down")
    orders = [(url, seconds, hold_s) for _ in range(processes)]
    found = at_once(_ask, orders)
    probes: list[Span] = sorted(span for spans, _ in found for span in spans)
    overlapping = sum(later[0] < earlier[1] for earlier, later in pairwise(probes))
    return {
        "processes": processes,
        "probes": len(probes),
        "by_process": [len(spans) for spans, _ in found],
        "two_at_once": overlapping,
        "calls_after_recovery": sum(calls for _, calls in found),
        "state": breakers.state(GuardedDependency.GPU).state.value,
    }


def _ask(url: str, seconds: float, hold_s: float) -> tuple[list[Span], int]:
    breakers, probes, calls = _breakers(url), [], 0
    begin = time.time()
    recovers = begin + 0.75 * seconds
    while time.time() < begin + seconds:
        try:
            with breakers.call(GuardedDependency.GPU, lease_s=60) as call:
                if not call.is_probe:
                    calls += 1
                    time.sleep(hold_s)
                    continue
                start = time.time()
                time.sleep(hold_s)
                # the lease ends with the answer that is told next
                probes.append((start, time.time()))
                if time.time() < recovers:
                    call.failed("still down")
                else:
                    call.answered()
        except CircuitOpenError:
            time.sleep(0.002)
    return probes, calls


def _breakers(url: str) -> CircuitBreakers:
    policy = BreakerPolicy(failures=3, open_s=0.01, cap_s=0.01, read_s=0.0, jitter=0.0)
    return CircuitBreakers(database_of(url), policy)
