"""One job from its submission to its end, with a host that dies at one point and is started again."""

from __future__ import annotations

import socket
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from drills.faults.client import Client, settings_of
from drills.faults.forkserver import Host
from drills.faults.points import FaultsFile, Point, Way, passed
from drills.faults.receiver import Receiver
from drills.faults.records import Glance, Record, Records
from drills.faults.scenarios import Entrance, Scenario
from drills.faults.world import Lane, Site, World, host_environment
from imagery.contracts import Stage, paid_answer
from imagery.database.money import SpendState

_LIMIT_S = 90.0
_WAITING_LIMIT_S = 150.0
_STEP_S = 0.03
# so long after the end a point may still be passed: what an activity does after its job was cancelled
_QUIET_S, _LATE_S = 0.6, 4.0
_KILLED = 137
# so long that the job's first look finds the circuit open
_HELD_S = 3.0
_LOOKS_FOR_UPLOADS = {"AzureWebJobs.uploads.Disabled": "false", "HOST_BLOB_POLL_S": "0.1"}


@dataclass
class RunReport:
    """How a run went. ``lost_answer``: it died between the paid call and the storing of its answer."""

    scenario: Scenario
    point: Point | None
    folder: Path
    way: Way = ()
    struck: bool = False
    lost_answer: bool = False
    stuck: str | None = None
    crashes: list[int] = field(default_factory=list)
    record: Record | None = None
    told: str | None = None
    job_ids: set[str] = field(default_factory=set)
    calls: int = 0
    billed: int = 0
    billed_usd: float = 0.0
    seconds: float = 0.0

    def read_bill(self, simulator: httpx.Client) -> None:
        """What the simulator has counted for the job."""
        assert self.record is not None
        bill = simulator.get("/_simulator/bill").json()["by_job"].get(self.record.job.job_id)
        if bill is not None:
            self.calls, self.billed, self.billed_usd = bill["calls"], bill["billed"], bill["usd"]


class FaultRun:
    """One run in a database and a state folder of its own."""

    def __init__(
        self, world: World, lane: Lane, scenario: Scenario, point: Point | None, folder: Path
    ) -> None:
        folder.mkdir(parents=True)
        self._world, self._lane, self._scenario, self._point = world, lane, scenario, point
        self._folder = folder
        self._site: Site = world.production if scenario.production else world.site
        more = dict(_LOOKS_FOR_UPLOADS) if scenario.entrance is Entrance.UPLOAD else {}
        if scenario.vault_away:
            # an id, so that points have the same names in all runs
            key = uuid.uuid4().hex
            world.vault.stay_away(key, scenario.vault_away)
            more |= world.vault.environment(key)
        url = self._site.new_database(folder)
        self._environment = host_environment(self._site, lane, url, more | scenario.environment)
        self._records = Records(url)
        self._faults = FaultsFile(folder)
        self._client = Client(self._site, scenario, lane.port, settings_of(self._environment))
        self._receiver = Receiver(scenario.callbacks) if scenario.callbacks else None
        self._report = RunReport(scenario, point, folder)
        self._cancelled = False
        self._grown_at = 0.0
        self._host: Host | None = None

    def perform(self) -> RunReport:
        """Do it, and leave no process behind."""
        began = time.monotonic()
        scenario = self._scenario
        self._lane.bill.delete("/_simulator/faults")
        if scenario.paid:
            order = {"next": list(scenario.paid), "retry_delay_s": 0.2}
            self._lane.bill.post("/_simulator/faults", json=order)
        self._faults.write(kill=self._point, hold=scenario.hold, record=self._point is None)
        try:
            self._start()
            if scenario.held_for is not None:
                self._records.hold_paid_calls(scenario.held_for, _HELD_S)
            self._client.submit(self._records, self._receiver.url if self._receiver else None)
            self._drive()
            self._close_report()
        finally:
            if self._host is not None:
                self._host.kill()
            if scenario.entrance is Entrance.UPLOAD:
                self._site.storage.delete(self._client.upload)
            if self._receiver is not None:
                self._receiver.stop()
            self._client.close()
            self._records.close()
        self._report.seconds = time.monotonic() - began
        return self._report

    def _start(self) -> None:
        arguments = ["--port", str(self._lane.port), "--state-dir", str(self._faults.state)]
        arguments += ["--faults", str(self._faults.path)]
        self._host = self._world.hosts.start(arguments, self._environment, self._folder / "host.log")
        until = time.monotonic() + _LIMIT_S
        while self._host.exit_code is None and time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._lane.port), 1):
                return
            time.sleep(_STEP_S)

    def _drive(self) -> None:
        until = time.monotonic() + (_WAITING_LIMIT_S if self._scenario.waits else _LIMIT_S)
        ended_at: float | None = None
        while time.monotonic() < until:
            if self._host is not None and self._host.exit_code is not None:
                self._restart(self._host.exit_code)
                ended_at = None
            seen = self._records.glance()
            if seen is not None and self._is_over(seen):
                ended_at = ended_at or time.monotonic()
                since_end_s = time.monotonic() - ended_at
                if self._is_quiet(since_end_s) and (not seen.open_spend or since_end_s > _LATE_S):
                    return
            else:
                ended_at = None
            time.sleep(_STEP_S)
        self._report.stuck = f"{seen.state} in {seen.stage}" if seen else "there is no job"

    def _restart(self, exit_code: int) -> None:
        """The host is gone: look at what it left, and start it again."""
        report = self._report
        if exit_code != _KILLED or report.struck:
            report.crashes.append(exit_code)
        report.struck = True
        record = self._records.one()
        report.lost_answer = record is not None and self._has_lost_answer(record)
        if not self._scenario.waits:
            self._records.let_time_pass()
        self._start()
        if self._scenario.entrance is Entrance.HTTP:
            self._client.post()

    def _has_lost_answer(self, record: Record) -> bool:
        job_id, storage = record.job.job_id, self._site.storage
        sent = [entry.attempt_group for entry in record.spend if entry.state == SpendState.SENT]
        return any(not storage.exists(paid_answer(job_id, Stage.NANO_BANANA, run)) for run in sent)

    def _is_over(self, seen: Glance) -> bool:
        """True when nothing is left to do for the job; what its client has left to ask for is asked."""
        if self._scenario.hold is not None and not self._cancelled and self._faults.fired("hold"):
            self._cancelled = self._client.cancel(seen.job_id)
            if self._cancelled:
                self._faults.release()
        if not seen.ended:
            return False
        if self._scenario.retried and seen.run == 1 and seen.error_code != "payment_unknown":
            self._lane.bill.delete("/_simulator/faults")
            for path in self._scenario.gpu:
                self._site.gateway.forgive(seen.job_id, path)
            self._client.retry(seen.job_id)
            return False
        return self._client.orchestration_ended(seen.instance_id)

    def _is_quiet(self, since_end_s: float) -> bool:
        """True when no point is to be expected any more."""
        if self._point is not None:
            return self._report.struck or since_end_s > _LATE_S
        way = passed(self._faults.state)
        if len(way) != len(self._report.way):
            self._report.way, self._grown_at = way, time.monotonic()
        return since_end_s > _QUIET_S and time.monotonic() - self._grown_at > _QUIET_S

    def _close_report(self) -> None:
        report, record = self._report, self._records.one()
        report.record = record
        report.told = self._client.told.get("state")
        if record is None:
            return
        report.job_ids = self._client.job_ids | {record.job.job_id}
        report.read_bill(self._lane.bill)
