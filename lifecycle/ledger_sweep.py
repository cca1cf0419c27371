"""Closes paid calls whose process died: settled where the answer was stored, unknown where it was not."""

from __future__ import annotations

from imagery.contracts import Stage, paid_answer, stage_output
from imagery.database.tables import SpendEntry
from imagery.services import Services
from imagery.telemetry.logs import log_context

_DIED = "its process died before an answer was recorded"


def close_lost_calls(services: Services, limit: int) -> int:
    """Close up to ``limit`` calls that no process waits for any more. Returns how many there were."""
    overdue = services.ledger.overdue(limit)
    for entry in overdue:
        with log_context(job_id=entry.job_id, stage=entry.stage):
            _close(services, entry)
    return len(overdue)


def _close(services: Services, entry: SpendEntry) -> None:
    stage = Stage(entry.stage)
    stages, ledger, job_id = services.stages, services.ledger, entry.job_id
    target = stage_output(job_id, stage)
    if services.storage.exists(target):
        stages.succeed_paid(ledger, services.stage_cache, job_id, stage, target)
    elif services.storage.exists(paid_answer(job_id, stage, entry.attempt_group)):
        # the job's next attempt, or run, delivers it
        stages.settle(ledger, job_id, stage)
    else:
        ledger.mark_unknown(entry.id or 0, _DIED)
