"""Two hosts, one database, one store: the same uploads, jobs and timers reach both, and both keep dying.

Each host has a durable backend of its own, so what one of them runs is lost in the eyes of the other,
which runs it too: every delivery is a duplicate.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from drills.faults.client import Client, settings_of
from drills.faults.forkserver import Host
from drills.faults.gateway import Gateway
from drills.faults.invariants import Facts, Violation, ViolationKind, check_end, check_job
from drills.faults.records import Record, Records
from drills.faults.scenarios import HAPPY, Entrance, Scenario
from drills.faults.world import World, host_environment
from imagery.contracts import JobState
from testbed.ports import free_port
from testbed.servers import Server

_BETWEEN_KILLS_S = 2.5
_LIMIT_S = 240.0
_IMAGE_MODEL = {"rate": 0.25, "kinds": ["503", "429", "safety", "timeout_after_billing", "broken_connection"]}
_GPU_RATE = 0.15
_SETTINGS = {
    "AzureWebJobs.uploads.Disabled": "false",
    "HOST_BLOB_POLL_S": "0.3",
    "NANO_BANANA_RETRY": "timeout_s=8 attempts=20",
    "GPU_RETRY": "attempts=20",
    # each of them takes for lost what the other one runs
    "RECONCILE": "restarts=1000",
}
_ENDS: set[tuple[str, str | None]] = {
    (JobState.COMPLETED, None),
    (JobState.FAILED, "payment_unknown"),
    (JobState.FAILED, "nano_banana_safety"),
}


@dataclass(frozen=True)
class Size:
    """Jobs by each door, and kills of the two hosts together."""

    keyed: int = 12
    uploaded: int = 8
    rows: int = 6
    kills: int = 8

    def times(self, factor: int) -> Size:
        """So many times as large."""
        return Size(*(factor * each for each in (self.keyed, self.uploaded, self.rows, self.kills)))

    @property
    def jobs(self) -> int:
        """All jobs."""
        return self.keyed + self.uploaded + self.rows


@dataclass
class TwoHostsOutcome:
    """What came of it. ``ends`` counts the jobs by how they ended."""

    jobs: int = 0
    kills: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0


class TwoHosts:
    """One go: jobs come in by all doors, at both hosts, while they are killed in turn."""

    def __init__(self, world: World, size: Size, seed: int = 1) -> None:
        self._world = world
        self._size = size
        self._lanes = [replace(world.spare, port=free_port()) for _ in range(2)]
        # a gateway of their own, since it fails at random
        gateway = Gateway(world.production.gateway.upstream, rate=_GPU_RATE)
        self._server = Server(gateway.app())
        self._site = replace(
            world.production,
            gateway=gateway,
            environment=world.production.environment | {"GPU_SERVICE_URL": self._server.url},
        )
        self._folder = world.folder / f"two-hosts-{seed}"
        self._folder.mkdir(parents=True)
        self._random = random.Random(seed)
        url = self._site.new_database(self._folder)
        self._records = Records(url)
        self._environments = [host_environment(self._site, lane, url, _SETTINGS) for lane in self._lanes]
        self._hosts: list[Host | None] = [None, None]
        self._clients: list[tuple[Client, Client]] = []
        self.outcome = TwoHostsOutcome()

    def run(self) -> TwoHostsOutcome:
        """Do it, and leave no process behind."""
        began = time.monotonic()
        bill = self._lanes[0].bill
        bill.post("/_simulator/faults", json={**_IMAGE_MODEL, "retry_delay_s": 0.5, "seed": 1})
        try:
            for number in range(2):
                self._start(number)
            with ThreadPoolExecutor(4) as pool:
                submitting = [pool.submit(self._submit, scenario) for scenario in _scenarios(self._size)]
                self._kill_in_turn()
                for each in submitting:
                    each.result()
            self._wait()
            self._check()
        finally:
            self._stop()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _start(self, number: int) -> None:
        arguments = ["--port", str(self._lanes[number].port)]
        arguments += ["--state-dir", str(self._folder / f"host-{number}")]
        log = self._folder / f"host-{number}.log"
        self._hosts[number] = self._world.hosts.start(arguments, self._environments[number], log)

    def _stop(self) -> None:
        for host in self._hosts:
            if host is not None:
                host.kill()
        self._server.stop()
        self._lanes[0].bill.delete("/_simulator/faults")
        for pair in self._clients:
            for client in pair:
                client.close()
        self._records.close()

    def _submit(self, scenario: Scenario) -> None:
        """Each job comes in at one of the hosts, and what has a key a second time at the other."""
        first, second = (
            Client(self._site, scenario, lane.port, settings_of(self._environments[0]))
            for lane in self._random.sample(self._lanes, 2)
        )
        second.repeats(first)
        self._clients.append((first, second))
        if scenario.entrance is not Entrance.HTTP:
            first.submit(self._records, None)
            return
        for client in (first, second):
            while not client.post():
                time.sleep(0.2)
        if first.job_ids != second.job_ids:
            what = f"one key became {len(first.job_ids | second.job_ids)} jobs"
            self.outcome.violations.append(Violation(ViolationKind.LOST_IMAGE, "two hosts", what))

    def _kill_in_turn(self) -> None:
        for count in range(self._size.kills):
            time.sleep(_BETWEEN_KILLS_S * self._random.uniform(0.4, 1.6))
            host = self._hosts[count % 2]
            assert host is not None
            host.kill()
            self.outcome.kills += 1
            self._start(count % 2)

    def _wait(self) -> None:
        until = time.monotonic() + _LIMIT_S
        while time.monotonic() < until and not self._is_over():
            time.sleep(0.5)

    def _is_over(self) -> bool:
        records = self._records.all()
        if len(records) < self._size.jobs:
            return False
        if not all(JobState(record.job.state).is_terminal for record in records):
            return False
        askers = self._clients[0]
        return all(
            client.orchestration_ended(record.job.instance_id) for record in records for client in askers
        )

    def _check(self) -> None:
        outcome = self.outcome
        records = self._records.all()
        outcome.jobs = len(records)
        if len(records) != self._size.jobs:
            what = f"{self._size.jobs} requests became {len(records)} jobs"
            outcome.violations.append(Violation(ViolationKind.LOST_IMAGE, "two hosts", what))
        bill = self._lanes[0].bill.get("/_simulator/bill").json()["by_job"]
        for record in records:
            end = f"{record.job.state} {record.job.error_code or ''}".strip()
            outcome.ends[end] = outcome.ends.get(end, 0) + 1
            outcome.violations += self._violations(record, bill.get(record.job.job_id, {}))

    def _violations(self, record: Record, bill: dict[str, float]) -> Iterator[Violation]:
        where = f"two hosts: job {record.job.job_id}"
        calls, billed = int(bill.get("calls", 0)), int(bill.get("billed", 0))
        facts = Facts(record, calls, billed, bill.get("usd", 0.0), lost_answer=True)
        yield from check_job(where, facts, self._site.storage)
        yield from check_end(where, record, _ENDS)


def _scenarios(size: Size) -> list[Scenario]:
    keyed = [replace(HAPPY, name="keyed", entrance=Entrance.HTTP)] * size.keyed
    uploaded = [replace(HAPPY, name="uploaded", entrance=Entrance.UPLOAD)] * size.uploaded
    rows = [replace(HAPPY, name="row")] * size.rows
    mixed = [*keyed, *uploaded, *rows]
    random.Random(0).shuffle(mixed)
    return mixed


def main() -> int:
    """``python -m drills.faults.two_hosts``: this part alone."""
    import logging
    import tempfile

    from imagery.telemetry.logs import configure_logging

    configure_logging("ERROR")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    with World(folder, lanes=1) as world:
        outcome = TwoHosts(world, Size()).run()
    sys.stdout.write(f"{outcome}\nlogs in {folder}\n")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
