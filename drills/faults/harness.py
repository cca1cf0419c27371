"""Every scenario once to learn its points, then once for each of them."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from drills.faults.cancelled import cancellations
from drills.faults.invariants import Violation, ViolationKind
from drills.faults.points import Point, Way, worth_a_run
from drills.faults.run import FaultRun, RunReport
from drills.faults.scenarios import HAPPY, SCENARIOS, Entrance, Scenario
from drills.faults.verdict import violations
from drills.faults.world import Lane, World

# more than there are processors: much of a run is waiting for a second to pass
LANES = 6
_ATTEMPTS = 3
_MOST_UNSTEADY = 0.01
# one, however few points are chosen: a slow run that is learned can wait once where no other does
_FEWEST_UNSTEADY = 1
Order = tuple[Scenario, Point | None]
_STATED = {
    "billed_twice": ViolationKind.BILLED_TWICE,
    "lost_images": ViolationKind.LOST_IMAGE,
    "stuck_jobs": ViolationKind.STUCK_JOB,
}


@dataclass
class Tally:
    """What was struck, what was wrong, and points that were passed when they were learned and never again.

    One counts for nothing; more than one, and more than one in a hundred, count as violations.
    """

    struck: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    unsteady: list[Violation] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> dict[str, int]:
        """The last line of ``make drill NAME=faults``."""
        kinds = Counter(each.kind for each in self.violations)
        stated = {name: kinds[kind] for name, kind in _STATED.items()}
        return {"fault_points": sum(self.struck.values()), "violations": len(self.violations), **stated}


class Harness:
    """Runs over the lanes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._runs = 0
        self.tally = Tally()

    def run(self, scenarios: Iterable[Scenario] = SCENARIOS, only: str = "", every: int = 1) -> None:
        """All of it. ``only`` cancellations whose name holds this, and only each so-manieth point."""
        began = time.monotonic()
        happy = self.perform([(HAPPY, None)])[0]
        wanted = [*scenarios, *(each for each in cancellations(happy.way) if only in each.name)]
        learned = {HAPPY.name: happy.way}
        others: list[Order] = [(scenario, None) for scenario in wanted if scenario.name != HAPPY.name]
        learned |= {report.scenario.name: report.way for report in self.perform(others)}
        # the same way in other stores is another one
        seen: dict[bool, set[Way]] = {False: set(), True: set()}
        orders: list[Order] = [
            (scenario, point)
            for scenario in wanted
            if scenario.name in learned
            for point in worth_a_run(scenario.part(learned[scenario.name]), seen[scenario.production])
        ]
        _say(f"{len(orders)} points in {len(wanted)} scenarios, {time.monotonic() - began:.0f} s so far")
        self.perform(chosen := orders[::every])
        if len(self.tally.unsteady) > max(_FEWEST_UNSTEADY, _MOST_UNSTEADY * len(chosen)):
            self.tally.violations += self.tally.unsteady
        self.tally.seconds = time.monotonic() - began

    def perform(self, orders: list[Order]) -> list[RunReport]:
        """Do the runs, over all lanes; their reports in order. What is wrong is in the tally."""
        waiting: queue.SimpleQueue[tuple[int, Order]] = queue.SimpleQueue()
        for numbered in enumerate(orders):
            waiting.put(numbered)
        reports: dict[int, RunReport] = {}
        threads = [
            threading.Thread(target=self._work, args=(lane, waiting, reports)) for lane in self._world.lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [reports[number] for number in sorted(reports)]

    def _work(self, lane: Lane, waiting: Any, reports: dict[int, RunReport]) -> None:
        while True:
            try:
                number, order = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                reports[number] = self._perform(lane, *order)
            except Exception as error:
                # one run that breaks must not end the others; it counts as a violation
                scenario, point = order
                where = f"{scenario.name}: {point or 'nobody dies'}"
                self._note_all([Violation(ViolationKind.BROKEN, where, f"{type(error).__name__}: {error}")])

    def _perform(self, lane: Lane, scenario: Scenario, point: Point | None) -> RunReport:
        """A point that was not reached is tried again: threads do not always meet in the same way."""
        for _ in range(_ATTEMPTS):
            report = self._run(lane, scenario, point)
            found = self._violations(report)
            if point is None or report.struck:
                self._note(report, found)
                return report
            self._note(report, [each for each in found if each.kind is not ViolationKind.NOT_STRUCK])
        with self._lock:
            self.tally.unsteady += [each for each in found if each.kind is ViolationKind.NOT_STRUCK]
        return report

    def _violations(self, report: RunReport) -> list[Violation]:
        site = self._world.production if report.scenario.production else self._world.site
        return list(violations(report, site.storage))

    def _run(self, lane: Lane, scenario: Scenario, point: Point | None) -> RunReport:
        with self._lock:
            self._runs += 1
            folder = self._world.folder / f"run-{self._runs:04}"
        run = FaultRun(self._world, lane, scenario, point, folder)
        if scenario.entrance is not Entrance.UPLOAD:
            return run.perform()
        # every host that looks for uploads would find them
        with self._world.uploads:
            return run.perform()

    def _note(self, report: RunReport, found: list[Violation]) -> None:
        if report.point is not None and report.struck:
            with self._lock:
                self.tally.struck[report.scenario.name] += 1
        self._note_all(found, f" ({report.folder.name}, {report.seconds:.1f} s)")

    def _note_all(self, found: list[Violation], place: str = "") -> None:
        with self._lock:
            self.tally.violations += found
        for each in found:
            _say(f"{each}{place}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
