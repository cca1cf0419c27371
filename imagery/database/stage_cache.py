"""Finished stages, reused for the same input with the same parameters instead of being computed again.

A stage's key is a hash over the scope, the clean picture's content hash, and each step from there to this
stage with its parameters and model version: what a stage reads is what the steps before it made of that
picture. The cached blob is the output of the job that used it last, so it lives as long as that job's
pictures do.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlmodel import Session, col, select

from imagery.contracts import BlobRef, JobOptions, Stage
from imagery.database.engine import Database
from imagery.database.journal import EVERYBODY
from imagery.database.tables import ImageJob, StageCacheEntry
from imagery.database.upsert import insert
from imagery.providers import scene
from imagery.settings import CacheScope, Settings


class StageCache:
    """The repository of finished stages."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def key(self, job: ImageJob, stage: Stage) -> str | None:
        """The key of the stage's result. Returns None if nothing is kept: no hash, or the cache is off."""
        scope = self._settings.jobs.stage_cache
        steps = self._steps(JobOptions.from_json(job.options))
        if scope is CacheScope.OFF or job.content_hash is None or stage not in steps:
            return None
        owner = job.owner_id if scope is CacheScope.USER else EVERYBODY
        names = list(steps)
        way = [[name.value, steps[name]] for name in names[: names.index(stage) + 1]]
        return hashlib.sha256(json.dumps([owner, job.content_hash, way]).encode()).hexdigest()

    def find(self, key: str) -> StageCacheEntry | None:
        """Returns None if there is no such entry."""
        with self._database.read() as session:
            return session.get(StageCacheEntry, key)

    def keep(self, key: str, job_id: str, output: BlobRef) -> None:
        """Keep a result that was computed."""
        with self._database.write() as session:
            _keep(session, key, job_id, output)

    def keep_in(self, session: Session, job_id: str, stage: Stage, output: BlobRef) -> None:
        """Keep a result in the caller's transaction, unless the job's stage is not to be kept."""
        job = session.get(ImageJob, job_id)
        key = self.key(job, stage) if job is not None else None
        if key is not None:
            _keep(session, key, job_id, output)

    def used(self, key: str, job_id: str, output: BlobRef) -> None:
        """Point the entry to the newest copy, which lives longest."""
        with self._database.write() as session:
            query = select(StageCacheEntry).where(col(StageCacheEntry.key) == key).with_for_update()
            entry = session.exec(query).first()
            if entry is None:
                return
            entry.job_id = job_id
            entry.output_container, entry.output_name = output.container, output.name

    def forget(self, key: str, job_id: str) -> None:
        """Drop an entry whose blob is gone, unless another job has renewed it meanwhile."""
        with self._database.write() as session:
            entry = session.get(StageCacheEntry, key)
            if entry is not None and entry.job_id == job_id:
                session.delete(entry)

    def _steps(self, options: JobOptions) -> dict[Stage, dict[str, Any]]:
        """Each cached stage, in order, with everything but its input that its result depends on."""
        settings = self._settings
        gpu = {"model": settings.gpu.model_version}
        steps: dict[Stage, dict[str, Any]] = {
            Stage.REMBG: gpu,
            Stage.REALESRGAN: gpu,
            Stage.NANO_BANANA: {
                "model": settings.nano_banana.model,
                "max_input_side": settings.nano_banana.max_input_side,
                "instruction": scene.VERSION,
                **options.model_dump(mode="json", exclude={"fresh", "max_usd", "output"}, exclude_none=True),
            },
        }
        return {stage: steps[stage] for stage in options.output.stages if stage in steps}


def _keep(session: Session, key: str, job_id: str, output: BlobRef) -> None:
    where = {"job_id": job_id, "output_container": output.container, "output_name": output.name}
    entry = StageCacheEntry(key=key, **where)
    query = insert(session, StageCacheEntry).values(**entry.model_dump())
    session.execute(query.on_conflict_do_update(index_elements=["key"], set_=where))
