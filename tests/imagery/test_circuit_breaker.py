"""One circuit for all: it opens for everybody, one probe at a time goes through, waits are bounded."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from drills.races.probes import run as run_probes
from imagery.database.breakers import CircuitBreakers
from imagery.database.circuits import BreakerPolicy, CircuitOpenError, CircuitState, GuardedDependency
from imagery.database.engine import Database
from imagery.database.tables import CircuitBreaker, utc_now
from tests.conftest import ON_POSTGRES

GPU, NANO = GuardedDependency.GPU, GuardedDependency.NANO_BANANA


def breakers_of(database: Database, open_s: float = 60.0, read_s: float = 0.0) -> CircuitBreakers:
    """As another instance would have them: nothing is shared but the database."""
    policy = BreakerPolicy(failures=3, open_s=open_s, cap_s=4 * open_s, read_s=read_s, jitter=0.2)
    return CircuitBreakers(database, policy)


def fail(breakers: CircuitBreakers, times: int = 1) -> None:
    for _ in range(times):
        with breakers.call(GPU, lease_s=60) as call:
            call.failed("gpu_unreachable")


def refused(breakers: CircuitBreakers) -> CircuitOpenError:
    with pytest.raises(CircuitOpenError) as caught, breakers.call(GPU, lease_s=60):
        pass
    return caught.value


def test_failures_in_a_row_open_the_circuit_for_every_instance(database: Database) -> None:
    here, there = breakers_of(database), breakers_of(database)
    fail(here, 2)
    assert here.state(GPU).state is CircuitState.CLOSED
    fail(there)
    error = refused(here)
    assert 50 < error.wait_s <= 60 * 1.2
    assert "gpu_unreachable" in str(error)
    with here.call(NANO, lease_s=60) as call:
        call.answered()


def test_an_answer_ends_the_row_of_failures(database: Database) -> None:
    breakers = breakers_of(database)
    for _ in range(3):
        fail(breakers, 2)
        with breakers.call(GPU, lease_s=60) as call:
            call.answered()
    assert (breakers.state(GPU).state, breakers.state(GPU).failures) == (CircuitState.CLOSED, 0)


def test_of_many_who_wait_one_probes_and_closes_it_for_all(database: Database) -> None:
    breakers = breakers_of(database, open_s=0.2)
    fail(breakers, 3)
    time.sleep(0.25)
    with breakers.call(GPU, lease_s=60) as probe:
        assert breakers.state(GPU).state is CircuitState.HALF_OPEN
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: isinstance(refused(breakers_of(database)), Exception), range(16)))
        probe.answered()
    assert breakers_of(database).state(GPU).state is CircuitState.CLOSED


@pytest.mark.slow
def test_a_probe_that_fails_opens_it_for_twice_as_long(database: Database) -> None:
    breakers = breakers_of(database, open_s=0.2)
    fail(breakers, 3)
    for _ in range(4):
        until = breakers.state(GPU).probe_at
        assert until is not None
        while refuses(breakers):
            time.sleep(0.05)
    circuit = breakers.state(GPU)
    assert (circuit.state, circuit.openings) == (CircuitState.OPEN, 5)
    assert circuit.probe_at is not None
    assert circuit.changed_at is not None
    assert circuit.probe_at - circuit.changed_at == timedelta(seconds=0.8), "the cap"


def refuses(breakers: CircuitBreakers) -> bool:
    """Send a failing probe as soon as one is let through."""
    try:
        fail(breakers)
    except CircuitOpenError:
        return True
    return False


def test_the_lease_of_a_probe_that_died_runs_out(database: Database) -> None:
    breakers = breakers_of(database, open_s=0.1)
    fail(breakers, 3)
    time.sleep(0.15)
    dead = breakers.call(GPU, lease_s=60)
    stale = dead.__enter__()
    refused(breakers)
    end_lease(database)
    with breakers.call(GPU, lease_s=60) as probe:
        assert breakers.state(GPU).state is CircuitState.HALF_OPEN
        stale.answered()
        assert breakers.state(GPU).state is CircuitState.HALF_OPEN, "who lost the lease changes nothing"
        probe.answered()
    dead.__exit__(None, None, None)
    assert breakers.state(GPU).state is CircuitState.CLOSED


def end_lease(database: Database) -> None:
    """Let the time of the probe that is under way be over."""
    with database.write() as session:
        row = session.get(CircuitBreaker, GPU.value)
        assert row is not None
        row.probe_until = utc_now()
        session.add(row)


def test_a_probe_that_was_never_sent_is_given_back(database: Database) -> None:
    breakers = breakers_of(database, open_s=0.1)
    fail(breakers, 3)
    time.sleep(0.15)
    for _ in range(2):
        with breakers.call(GPU, lease_s=60):
            assert breakers.state(GPU).state is CircuitState.HALF_OPEN


def test_an_operator_opens_and_closes_it_by_hand(database: Database) -> None:
    breakers = breakers_of(database, open_s=0.05)
    breakers.open_by_hand(GPU, "olga")
    time.sleep(0.1)
    assert refused(breakers_of(database)).wait_s > 0
    assert (breakers.state(GPU).forced, breakers.state(GPU).changed_by) == (True, "olga")
    breakers.close_by_hand(GPU, "olga")
    assert breakers_of(database).state(GPU).state is CircuitState.CLOSED
    with breakers_of(database).call(GPU, lease_s=60) as call:
        call.answered()


def test_a_recent_reading_spares_the_database(database: Database) -> None:
    patient = breakers_of(database, read_s=60.0)
    with patient.call(GPU, lease_s=60) as call:
        call.answered()
    fail(breakers_of(database), 3)
    refused(breakers_of(database))
    with patient.call(GPU, lease_s=60) as call:
        assert call is not None, "it goes by what it has read a moment ago"


@ON_POSTGRES
@pytest.mark.slow
def test_of_four_processes_never_two_probe_at_once(migrated_url: str, database: Database) -> None:
    found = run_probes(migrated_url, processes=4, failing=12)
    assert found["two_at_once"] == 0
    assert found["probes"] == 13
    assert found["state"] == "closed"
