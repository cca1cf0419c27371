"""A circuit that many processes want to probe: never two probes at once, and it closes in the end."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from drills.races.processes import at_once, database_of
from imagery.database.breakers import CircuitBreakers
from imagery.database.circuits import BreakerPolicy, CircuitOpenError, CircuitState, GuardedDependency

Span = tuple[float, float]


def run(url: str, *, processes: int, failing: int, hold_s: float = 0.02) -> dict[str, Any]:
    """Every process asks without pause until a call goes through; the first ``failing`` probes fail."""
    breakers = _breakers(url)
    for _ in range(3):
        with breakers.call(GuardedDependency.GPU, lease_s=60) as call:
            call.failed("down")
    orders = [(url, failing, hold_s) for _ in range(processes)]
    found = at_once(_ask, orders)
    probes: list[Span] = sorted(span for spans in found for span in spans)
    overlapping = sum(later[0] < earlier[1] for earlier, later in pairwise(probes))
    return {
        "processes": processes,
        "probes": len(probes),
        "by_process": [len(spans) for spans in found],
        "two_at_once": overlapping,
        "state": breakers.state(GuardedDependency.GPU).state.value,
    }


def _ask(url: str, failing: int, hold_s: float) -> list[Span]:
    breakers, probes = _breakers(url), list[Span]()
    while True:
        try:
            with breakers.call(GuardedDependency.GPU, lease_s=60) as call:
                circuit = breakers.state(GuardedDependency.GPU)
                if circuit.state is CircuitState.CLOSED:
                    return probes
                start = time.time()
                time.sleep(hold_s)
                # the lease ends with the answer that is told next
                probes.append((start, time.time()))
                # the circuit was opened once before the first probe
                if circuit.openings <= failing:
                    call.failed("still down")
                else:
                    call.answered()
        except CircuitOpenError:
            time.sleep(0.002)


def _breakers(url: str) -> CircuitBreakers:
    policy = BreakerPolicy(failures=3, open_s=0.01, cap_s=0.01, read_s=0.0, jitter=0.0)
    return CircuitBreakers(database_of(url), policy)
