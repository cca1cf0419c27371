"""One circuit breaker for each dependency, shared by all instances through SQL.

Closed: calls go through. After a number of failures in a row the circuit opens: no calls are made, and jobs
wait. When that time is over, exactly one caller gets a lease to probe (half-open). A probe that succeeds
closes the circuit, one that fails opens it for twice as long. The state is read once in a while and written
only when a call fails, recovers or probes.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Update, and_, or_, update
from sqlmodel import Session, col, select

from imagery.backoff import spread
from imagery.database.circuits import (
    BreakerPolicy,
    Circuit,
    CircuitOpenError,
    CircuitState,
    GuardedDependency,
)
from imagery.database.engine import Database
from imagery.database.tables import CircuitBreaker, utc_now
from imagery.database.upsert import insert
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_SHORTEST_WAIT_S = 1.0


class CircuitCall:
    """A call that the breaker let through. Report on it with ``answered`` or ``failed``."""

    def __init__(self, breakers: CircuitBreakers, dependency: GuardedDependency, probe: str | None) -> None:
        self._breakers = breakers
        self._dependency = dependency
        self._probe = probe
        self._is_reported = False

    def answered(self) -> None:
        """Report that the dependency works: it responded, even if with an error about the request."""
        self._is_reported = True
        self._breakers.recover(self._dependency, self._probe)

    def failed(self, error: str) -> None:
        """Report that the dependency does not work."""
        self._is_reported = True
        self._breakers.fail(self._dependency, self._probe, error)

    def hold(self, error: str, wait_s: float | None = None) -> float:
        """Report that nobody may call for a while: ``wait_s`` seconds, else longer each time in a row.

        Returns the seconds until somebody may try.
        """
        self._is_reported = True
        return self._breakers.hold(self._dependency, self._probe, error, wait_s)

    def end(self) -> None:
        """Return the lease of a probe that was never reported on, so that the next caller gets it."""
        if self._probe is not None and not self._is_reported:
            self._breakers.give_back(self._dependency, self._probe)


class CircuitBreakers:
    """All circuits of this process; safe between threads and, through SQL, between instances."""

    def __init__(self, database: Database, policy: BreakerPolicy) -> None:
        self._database = database
        self._policy = policy
        self._lock = threading.Lock()
        self._known: dict[GuardedDependency, tuple[float, Circuit]] = {}

    @contextmanager
    def call(self, dependency: GuardedDependency, *, lease_s: float, seed: str = "") -> Iterator[CircuitCall]:
        """Let a call through. Raises ``CircuitOpenError``.

        ``lease_s``: the longest that the call can take; a probe keeps other callers away for as long.
        ``seed`` spreads the waits of callers that are turned away.
        """
        call = CircuitCall(self, dependency, self._admit(dependency, lease_s, seed))
        try:
            yield call
        finally:
            call.end()

    def recent(self, dependency: GuardedDependency) -> Circuit:
        """The circuit as it was known ``read_s`` ago at the longest."""
        with self._lock:
            read_at, circuit = self._known.get(dependency, (float("-inf"), Circuit(dependency)))
        if time.monotonic() - read_at <= self._policy.read_s:
            return circuit
        return self.state(dependency)

    def state(self, dependency: GuardedDependency) -> Circuit:
        """Read the circuit from SQL."""
        with self._database.read() as session:
            circuit = _circuit(dependency, session.get(CircuitBreaker, dependency.value))
        with self._lock:
            self._known[dependency] = (time.monotonic(), circuit)
        return circuit

    def states(self) -> list[Circuit]:
        """Every circuit."""
        return [self.state(dependency) for dependency in GuardedDependency]

    def open_by_hand(self, dependency: GuardedDependency, by: str) -> Circuit:
        """Stop all calls until an operator closes the circuit."""
        return self._set_by_hand(dependency, CircuitState.OPEN, by)

    def close_by_hand(self, dependency: GuardedDependency, by: str) -> Circuit:
        """Let calls through again, whatever failed before."""
        return self._set_by_hand(dependency, CircuitState.CLOSED, by)

    def recover(self, dependency: GuardedDependency, probe: str | None) -> None:
        """A call succeeded: a probe closes the circuit, any other call resets the count of failures."""
        if probe is None and self._last_known(dependency).failures == 0:
            return
        mine = _is_probe(probe) if probe else _is_closed_with_failures()
        values: dict[str, Any] = {"failures": 0}
        if probe:
            values |= {"state": CircuitState.CLOSED, "openings": 0, "probe_holder": None, "probe_until": None}
        if self._change(dependency, mine, **values) and probe:
            _log.info("circuit_closed", dependency=dependency.value)

    def fail(self, dependency: GuardedDependency, probe: str | None, error: str) -> None:
        """A call failed: a probe opens the circuit again, any other call may be one failure too many."""
        with self._database.write() as session:
            row = _locked(session, dependency)
            if not _may_change(row, probe):
                return
            row.failures += 1
            row.last_error = error[:200]
            if probe or row.failures >= self._policy.failures:
                self._open(row)
            circuit = _circuit(dependency, row)
        self._told(circuit, error)

    def hold(
        self, dependency: GuardedDependency, probe: str | None, error: str, wait_s: float | None
    ) -> float:
        """Open the circuit at once: what one caller was told is meant for all. Returns the wait, seconds."""
        with self._database.write() as session:
            row = _locked(session, dependency)
            is_mine = _may_change(row, probe)
            if is_mine:
                row.failures, row.last_error = 0, error[:200]
                self._open(row)
            if is_mine and wait_s is not None:
                row.probe_at = utc_now() + timedelta(seconds=wait_s)
            circuit = _circuit(dependency, row)
        if is_mine:
            self._told(circuit, error)
        return self._wait_s(circuit, error)

    def _open(self, row: CircuitBreaker) -> None:
        now = utc_now()
        row.openings += 1
        row.state, row.changed_at, row.changed_by = CircuitState.OPEN, now, None
        row.probe_at = now + self._policy.open_for(row.openings)
        row.probe_holder = row.probe_until = None

    def _told(self, circuit: Circuit, error: str) -> None:
        self._keep(circuit)
        if circuit.state is CircuitState.OPEN:
            _log.warning(
                "circuit_opened", dependency=circuit.dependency.value, error=error, probe_at=circuit.probe_at
            )

    def give_back(self, dependency: GuardedDependency, probe: str) -> None:
        """End a lease whose probe was never sent."""
        self._change(
            dependency, _is_probe(probe), state=CircuitState.OPEN, probe_holder=None, probe_until=None
        )

    def _admit(self, dependency: GuardedDependency, lease_s: float, seed: str) -> str | None:
        """The id of a probe's lease, or None for an ordinary call. Raises ``CircuitOpenError``."""
        circuit = self.recent(dependency)
        if circuit.state is CircuitState.CLOSED:
            return None
        circuit = self.state(dependency)
        if circuit.state is CircuitState.CLOSED:
            return None
        if not circuit.forced and _is_due(circuit):
            probe = uuid.uuid4().hex
            until = utc_now() + timedelta(seconds=lease_s)
            taken = {"state": CircuitState.HALF_OPEN, "probe_holder": probe, "probe_until": until}
            if self._change(dependency, _is_free(utc_now()), **taken):
                _log.info("circuit_probe", dependency=dependency.value)
                return probe
            circuit = self.state(dependency)
            if circuit.state is CircuitState.CLOSED:
                return None
        raise CircuitOpenError(circuit, self._wait_s(circuit, seed))

    def _wait_s(self, circuit: Circuit, seed: str) -> float:
        """Seconds until a retry is worthwhile, spread so that not all callers retry at once."""
        wait = self._policy.open_s
        if circuit.forced:
            wait = self._policy.cap_s
        elif circuit.state is CircuitState.OPEN and circuit.probe_at is not None:
            wait = (circuit.probe_at - utc_now()).total_seconds()
        return max(wait, _SHORTEST_WAIT_S) * spread(self._policy.jitter, f"{seed}/{circuit.openings}")

    def _last_known(self, dependency: GuardedDependency) -> Circuit:
        with self._lock:
            return self._known.get(dependency, (0.0, Circuit(dependency)))[1]

    def _keep(self, circuit: Circuit) -> None:
        with self._lock:
            self._known[circuit.dependency] = (time.monotonic(), circuit)

    def _change(self, dependency: GuardedDependency, condition: Any, **values: Any) -> bool:
        """Compare and set. Returns True if the circuit met ``condition``."""
        if "state" in values:
            values["changed_at"], values["changed_by"] = utc_now(), None
        query: Update = update(CircuitBreaker).where(
            col(CircuitBreaker.dependency) == dependency.value,
            col(CircuitBreaker.forced).is_(False),
            condition,
        )
        with self._database.write() as session:
            done: CursorResult[Any] = session.execute(query.values(**values))  # type: ignore[assignment]
            changed = done.rowcount == 1
        self.state(dependency)
        return changed

    def _set_by_hand(self, dependency: GuardedDependency, state: CircuitState, by: str) -> Circuit:
        with self._database.write() as session:
            row = _locked(session, dependency)
            row.state, row.forced = state, state is CircuitState.OPEN
            row.changed_at, row.changed_by = utc_now(), by
            row.failures = row.openings = 0
            row.last_error = "opened by hand" if state is CircuitState.OPEN else None
            row.probe_at = row.probe_holder = row.probe_until = None
            circuit = _circuit(dependency, row)
        self._keep(circuit)
        _log.warning(f"circuit_{state.value}_by_hand", dependency=dependency.value, by=by)
        return circuit


def _circuit(dependency: GuardedDependency, row: CircuitBreaker | None) -> Circuit:
    if row is None:
        return Circuit(dependency)
    return Circuit(
        dependency=dependency,
        state=CircuitState(row.state),
        forced=row.forced,
        failures=row.failures,
        openings=row.openings,
        last_error=row.last_error,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        probe_at=row.probe_at,
        probe_until=row.probe_until,
    )


def _may_change(row: CircuitBreaker, probe: str | None) -> bool:
    """True for the holder of the lease, and for whoever was let through while the circuit was closed."""
    return not row.forced and (row.probe_holder == probe if probe else row.state == CircuitState.CLOSED)


def _is_due(circuit: Circuit) -> bool:
    due = circuit.probe_until if circuit.state is CircuitState.HALF_OPEN else circuit.probe_at
    return due is None or due <= utc_now()


def _is_free(now: datetime) -> Any:
    """A probe may be sent: the circuit is open and due, or half-open with a lease that ran out."""
    is_open = and_(col(CircuitBreaker.state) == CircuitState.OPEN, col(CircuitBreaker.probe_at) <= now)
    expired = and_(
        col(CircuitBreaker.state) == CircuitState.HALF_OPEN, col(CircuitBreaker.probe_until) <= now
    )
    return or_(is_open, expired)


def _is_probe(probe: str) -> Any:
    return col(CircuitBreaker.probe_holder) == probe


def _is_closed_with_failures() -> Any:
    return and_(col(CircuitBreaker.state) == CircuitState.CLOSED, col(CircuitBreaker.failures) > 0)


def _locked(session: Session, dependency: GuardedDependency) -> CircuitBreaker:
    """The circuit's row, made at its first failure, locked until the transaction ends."""
    fresh = CircuitBreaker(dependency=dependency.value).model_dump()
    session.execute(insert(session, CircuitBreaker).values(**fresh).on_conflict_do_nothing())
    query = select(CircuitBreaker).where(CircuitBreaker.dependency == dependency.value)
    return session.exec(query.with_for_update()).one()
