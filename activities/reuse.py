"""Taking over what an earlier job has made of the same input, and keeping what this one made."""

from __future__ import annotations

from activities.stage import succeeded
from imagery.contracts import BlobRef, JobOptions, StageInput, StageOutcome, stage_output
from imagery.database.stages import Begun
from imagery.services import Services
from imagery.storage import BlobNotFoundError, StorageError
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_PNG = "image/png"


def reuse(services: Services, order: StageInput, begun: Begun) -> StageOutcome | None:
    """The stage's outcome from the cache; None when it has to be computed."""
    key = services.stage_cache.key(begun.job, order.stage)
    if key is None or JobOptions.from_json(begun.job.options).fresh:
        return None
    entry = services.stage_cache.find(key)
    if entry is None or entry.job_id == order.job_id:
        return None
    source = BlobRef(container=entry.output_container, name=entry.output_name)
    target = stage_output(order.job_id, order.stage)
    try:
        services.storage.copy(source, target)
    except BlobNotFoundError:
        services.stage_cache.forget(key, entry.job_id)
        return None
    except StorageError as error:
        # a cache that does not work costs time or money, never the job
        _log.warning("cache_copy_failed", error=str(error))
        return None
    services.stages.succeed(order.job_id, order.stage, target, _PNG, cached=True)
    services.stage_cache.used(key, order.job_id, target)
    return succeeded(order.stage, target)


def keep(services: Services, order: StageInput, begun: Begun) -> None:
    """Keep the finished stage for later jobs."""
    key = services.stage_cache.key(begun.job, order.stage)
    if key is not None:
        target = stage_output(order.job_id, order.stage)
        services.stage_cache.keep(key, order.stage, order.job_id, target, _PNG)
