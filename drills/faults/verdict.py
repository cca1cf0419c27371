"""From the report of a run to its violations."""

from __future__ import annotations

from collections.abc import Iterator

from drills.faults.invariants import Facts, Violation, ViolationKind, check_end, check_job
from drills.faults.run import RunReport
from imagery.contracts import JobState
from imagery.storage import Storage

_PAYMENT_UNKNOWN = (JobState.FAILED, "payment_unknown")


def violations(report: RunReport, storage: Storage) -> Iterator[Violation]:
    """Everything that is wrong with a run."""
    where = f"{report.scenario.name}: {report.point or 'nobody dies'}"
    if report.point is not None and not report.struck:
        yield Violation(ViolationKind.NOT_STRUCK, where, "the point was not reached")
    for code in report.crashes:
        yield Violation(ViolationKind.BROKEN, where, f"the host ended by itself ({code})")
    if report.stuck is not None:
        yield Violation(ViolationKind.STUCK_JOB, where, report.stuck)
        return
    if report.record is None:
        yield Violation(ViolationKind.LOST_IMAGE, where, "there is no job")
        return
    if len(report.job_ids) != 1:
        yield Violation(ViolationKind.LOST_IMAGE, where, f"one request became {len(report.job_ids)} jobs")
    lost = report.lost_answer or report.scenario.loses_answer
    facts = Facts(report.record, report.calls, report.billed, report.billed_usd, lost)
    yield from check_job(where, facts, storage)
    yield from check_end(where, report.record, _expected(report))


def _expected(report: RunReport) -> set[tuple[str, str | None]]:
    """The ends that are right: one, unless the answer of a paid call was lost with the host."""
    scenario = report.scenario
    end: set[tuple[str, str | None]] = {(scenario.state, scenario.code)}
    if scenario.hold is not None and report.told is not None:
        # a cancel that comes back after a crash may come too late; its answer says so
        end = {(JobState.CANCELLED, None), (report.told, None)}
    if not report.lost_answer:
        return end
    # nobody can tell, and nobody may call again; who cancelled it is told so all the same
    return {_PAYMENT_UNKNOWN} | (end if scenario.hold is not None else set())
