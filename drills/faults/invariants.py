"""What must be true after every run, wherever the host died."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from PIL import Image

from drills.faults.records import Record
from imagery.contracts import JobOptions, JobOutput, JobState, Stage, StageState, stage_output
from imagery.database.money import SpendState, to_micro
from imagery.database.tables import SpendEntry
from imagery.provenance.credentials import CredentialsState
from imagery.provenance.manifest import CLAIM_GENERATOR
from imagery.provenance.reader import read
from imagery.provenance.trust import reading_context
from imagery.storage import BlobNotFoundError, Storage

_PAYMENT_UNKNOWN = (JobState.FAILED, "payment_unknown")
_OPEN_STAGES = {StageState.RUNNING, StageState.WAITING}
_OPEN_SPEND = {SpendState.RESERVED, SpendState.SENT}


class ViolationKind(Enum):
    """What a violation means to the one whose picture it is."""

    BILLED_TWICE = "billed twice"
    LOST_IMAGE = "lost image"
    STUCK_JOB = "stuck job"
    LEDGER = "ledger"
    UNSIGNED = "unsigned picture"
    WRONG_END = "wrong end"
    NOT_STRUCK = "not struck"
    BROKEN = "broken"


@dataclass(frozen=True)
class Violation:
    """One thing that is not as it must be, and where."""

    kind: ViolationKind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Facts:
    """A job at its end: its rows, the bill, and whether an answer of a paid call was lost on the way."""

    record: Record
    calls: int
    billed: int
    billed_usd: float
    lost_answer: bool


def check_job(where: str, facts: Facts, storage: Storage) -> Iterator[Violation]:
    """Everything that holds for any job that has ended."""
    job = facts.record.job
    if not JobState(job.state).is_terminal:
        yield Violation(ViolationKind.STUCK_JOB, where, f"{job.state} in {job.stage}")
        return
    if facts.billed > job.run:
        yield Violation(ViolationKind.BILLED_TWICE, where, f"{facts.billed} pictures for {job.run} requests")
    for row in facts.record.stages:
        if row.state in _OPEN_STAGES:
            yield Violation(
                ViolationKind.STUCK_JOB, where, f"job is {job.state}, its stage {row.stage} {row.state}"
            )
    yield from _check_ledger(where, facts)
    if job.state == JobState.COMPLETED:
        yield from _check_pictures(where, facts.record, storage)


def _check_ledger(where: str, facts: Facts) -> Iterator[Violation]:
    entries = facts.record.spend
    settled = [entry for entry in entries if entry.state == SpendState.SETTLED]
    unknown = [entry for entry in entries if entry.state == SpendState.UNKNOWN]
    told = f"settled {len(settled)}, unknown {len(unknown)}, billed {facts.billed}, calls {facts.calls}"
    for entry in entries:
        if entry.state in _OPEN_SPEND:
            yield Violation(ViolationKind.LEDGER, where, f"an entry is left {entry.state} at the job's end")
    if unknown and not facts.lost_answer:
        yield Violation(ViolationKind.LEDGER, where, f"unknown although no answer was lost: {told}")
    if not len(settled) <= facts.billed <= len(settled) + len(unknown):
        yield Violation(ViolationKind.LEDGER, where, told)
    if not unknown and to_micro(facts.billed_usd) != _price(settled):
        yield Violation(ViolationKind.LEDGER, where, f"{told}: the prices differ")
    if facts.calls > sum(entry.calls for entry in entries):
        yield Violation(ViolationKind.LEDGER, where, f"a call came in that the ledger does not have: {told}")
    is_due = _output(facts.record).has_scene and facts.record.job.state == JobState.COMPLETED
    if is_due and not settled:
        yield Violation(ViolationKind.LEDGER, where, f"completed without a settled entry: {told}")


def _output(record: Record) -> JobOutput:
    return JobOptions.from_json(record.job.options).output


def _price(entries: list[SpendEntry]) -> int:
    return sum(entry.price_micro_usd for entry in entries)


def _check_pictures(where: str, record: Record, storage: Storage) -> Iterator[Violation]:
    done = {row.stage for row in record.stages if row.state == StageState.SUCCEEDED}
    for stage in _output(record).stages:
        if stage.value not in done:
            yield Violation(ViolationKind.LOST_IMAGE, where, f"completed, but {stage.value} did not succeed")
            continue
        try:
            data = storage.read(stage_output(record.job.job_id, stage))
            with Image.open(io.BytesIO(data)) as image:
                image.load()
        except (BlobNotFoundError, OSError, SyntaxError, ValueError) as error:
            yield Violation(
                ViolationKind.LOST_IMAGE, where, f"{stage.value}: {type(error).__name__}: {error}"
            )
            continue
        if stage is Stage.NANO_BANANA:
            yield from _check_signature(where, data)


def _check_signature(where: str, picture: bytes) -> Iterator[Violation]:
    """A delivered picture carries a statement of ours, whatever signing it had to wait for."""
    top = read(picture, reading_context("")).manifest
    is_ours = top is not None and (top.claim_generator or "").startswith(CLAIM_GENERATOR)
    if top is None or not is_ours or top.state is CredentialsState.BROKEN:
        yield Violation(ViolationKind.UNSIGNED, where, f"{top.claim_generator if top else 'no statement'}")


def check_end(where: str, record: Record, expected: set[tuple[str, str | None]]) -> Iterator[Violation]:
    """How the job ended; without a code in ``expected`` any will do."""
    end = (record.job.state, record.job.error_code)
    if end not in expected and (end[0], None) not in expected:
        yield Violation(ViolationKind.WRONG_END, where, f"{end[0]} {end[1]}: {record.job.error_message}")
