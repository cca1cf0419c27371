"""Closes paid calls whose process died: settled where the picture arrived, unknown where it did not."""

from __future__ import annotations

from imagery.contracts import Stage, stage_output
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
    target = stage_output(entry.job_id, stage)
    if not services.storage.exists(target):
        services.ledger.mark_unknown(entry.id or 0, _DIED)
        return
    services.stages.succeed_paid(services.ledger, services.stage_cache, entry.job_id, stage, target)
