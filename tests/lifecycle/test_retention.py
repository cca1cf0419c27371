"""Old pictures and histories go, what counts stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from imagery.contracts import JOBS, UPLOADS, BlobRef, JobOptions, JobState, Stage, stage_output
from imagery.database.job_views import JobFilter
from imagery.database.tables import Batch, ImageJob, JobEvent, SpendEntry, StageCacheEntry, utc_now
from imagery.reporting.metrics import exposition
from imagery.services import Services
from imagery.storage import StorageError
from lifecycle import retention
from lifecycle.instances import batch_instance_id
from lifecycle.retention import retain
from lifecycle.uploads import on_upload
from tests.events import events_of
from tests.lifecycle.durable import Durable
from tests.lifecycle.jobs import age, begin, blobs, complete, make_batch, make_job, now, state

OLD, YOUNG = 31, 29


def tick(durable: Durable) -> int:
    return asyncio.run(retain(durable.client))


def upload(services: Services, name: str, data: bytes = b"photo") -> BlobRef:
    return services.storage.write(BlobRef(container=UPLOADS, name=name), data, "image/jpeg")


def old_job(services: Services, **more: Any) -> ImageJob:
    job = make_job(services, **more)
    complete(services, job)
    age(services, job, OLD)
    return job


def ledger_entry(services: Services, job: ImageJob, kind: str) -> None:
    with services.database.write() as session:
        session.add(
            SpendEntry(
                job_id=job.job_id,
                owner_id=job.owner_id,
                stage=Stage.NANO_BANANA,
                attempt_group=1,
                state=kind,
                price_micro_usd=80_000,
                calls=1,
            )
        )


def figures(services: Services) -> bytes:
    """Every figure that Prometheus is told, gauges left out."""
    body, _ = exposition(services.database, "text/plain")
    lines = body.splitlines(keepends=True)
    gauges = {line.split()[2] for line in lines if line.startswith(b"# TYPE") and line.endswith(b"gauge\n")}
    return b"".join(line for line in lines if not any(name in line for name in gauges))


def test_an_old_job_keeps_its_rows_and_loses_everything_else(services: Services, durable: Durable) -> None:
    source = upload(services, "me/old.jpg")
    job = make_job(services, source=source)
    services.storage.write(BlobRef(container=JOBS, name=f"{job.job_id}/source-1.png"), b"x", "image/png")
    complete(services, job)
    ledger_entry(services, job, "settled")
    with services.database.write() as session:
        output = stage_output(job.job_id, Stage.REMBG)
        session.add(
            StageCacheEntry(
                key="k",
                job_id=job.job_id,
                output_container=output.container,
                output_name=output.name,
            )
        )
    age(services, job, OLD)
    durable.instances = {job.instance_id: "Completed", "somebody-else-1": "Completed"}
    before = figures(services)
    assert tick(durable) == 1
    assert figures(services) == before
    assert b'imagery_jobs_total{status="COMPLETED"} 1.0' in before
    assert blobs(services, job) == []
    assert not services.storage.exists(source)
    assert durable.instances == {"somebody-else-1": "Completed"}
    assert now(services, job).expired_at is not None
    assert (now(services, job).state, now(services, job).updated_at) == (
        JobState.COMPLETED,
        job_at(job, services),
    )
    with services.database.read() as session:
        assert list(session.exec(select(StageCacheEntry))) == []
    events = [event.event for event in events_of(services.database, job.job_id)]
    assert events.count("job_expired") == 1
    assert tick(durable) == 0


def job_at(job: ImageJob, services: Services) -> Any:
    """When the job was last changed: its expiry is no change that somebody waits for."""
    finished = [
        event.at for event in events_of(services.database, job.job_id) if event.event == "job_completed"
    ]
    found = now(services, job).updated_at
    assert abs(found - finished[0]) < timedelta(seconds=1)
    return found


def test_young_open_and_unaccounted_jobs_keep_their_pictures(services: Services, durable: Durable) -> None:
    young, running = make_job(services), make_job(services)
    complete(services, young)
    age(services, young, YOUNG)
    begin(services, running)
    kept = [old_job(services) for _ in range(2)]
    for job, kind in zip(kept, ("sent", "unknown"), strict=True):
        ledger_entry(services, job, kind)
    assert tick(durable) == 0
    assert all(len(blobs(services, job)) == 4 for job in (young, *kept))


def test_a_source_stays_as_long_as_a_job_has_it(services: Services, durable: Durable) -> None:
    source = upload(services, "shared.jpg")
    asyncio.run(on_upload(durable.client, UPLOADS, source.name))
    first = services.jobs.page(JobFilter(owner_id=None), limit=1).jobs[0].job
    complete(services, first)
    age(services, first, OLD)
    second = make_job(services, source=source, options=JobOptions(prompt="on snow"))
    complete(services, second)
    assert tick(durable) == 1
    assert services.storage.exists(source)
    assert blobs(services, first) == []
    age(services, second, OLD)
    assert tick(durable) == 1
    assert not services.storage.exists(source)


def test_two_jobs_of_one_source_may_go_together(services: Services, durable: Durable) -> None:
    source = upload(services, "shared.jpg")
    for _ in range(2):
        old_job(services, source=source)
    assert tick(durable) == 2
    assert not services.storage.exists(source)


def test_a_newer_version_of_a_source_is_not_deleted(services: Services, durable: Durable) -> None:
    older = upload(services, "photo.jpg", b"older")
    job = old_job(services, source=older)
    newer = upload(services, "photo.jpg", b"newer version")
    make_job(services, source=newer)
    assert tick(durable) >= 1
    assert now(services, job).expired_at is not None
    assert services.storage.read(newer) == b"newer version"


def test_the_oldest_go_first_and_only_so_many_a_tick(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_JOBS", 2)
    jobs = [make_job(services) for _ in range(3)]
    for job, days in zip(jobs, (40, 60, 50), strict=True):
        complete(services, job)
        age(services, job, days)
    assert tick(durable) == 2
    assert [now(services, job).expired_at is not None for job in jobs] == [False, True, True]


class Breaks(Durable):
    """Dies when history is purged, as often as told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def purge_instance_history(self, instance_id: str) -> None:
        if self.times > 0:
            self.times -= 1
            raise RuntimeError("the backend is away")
        await super().purge_instance_history(instance_id)


def test_what_dies_in_the_middle_is_finished_by_the_next_tick(services: Services) -> None:
    durable = Breaks(1)
    jobs = [old_job(services) for _ in range(2)]
    durable.instances = {job.instance_id: "Failed" for job in jobs}
    assert tick(durable) == 1, "the other one is not kept by it"
    assert all(blobs(services, job) == [] for job in jobs)
    assert tick(durable) == 1
    assert durable.instances == {}
    assert all(now(services, job).expired_at for job in jobs)


def test_every_run_its_callback_and_the_batch_are_purged(services: Services, durable: Durable) -> None:
    batch_id, [job] = make_batch(services, 1)
    with services.database.write() as session:
        row = session.get(ImageJob, job.job_id)
        assert row is not None
        row.run, row.callback_url = 2, "https://example.com/hook"
    services.jobs.finish(job.job_id, 2, JobState.FAILED, error_code="x", message="y")
    delivery = f"msg_{job.job_id}-2"
    age(services, job, OLD)
    ids = [f"{job.job_id}-1", f"{job.job_id}-2", f"callback-{delivery}", batch_instance_id(batch_id)]
    durable.instances = dict.fromkeys(ids, "Completed")
    assert tick(durable) == 0, "its callback is still to be delivered"
    services.callbacks.delivered(delivery, 204)
    assert tick(durable) == 1
    assert durable.instances == {}
    with services.database.read() as session:
        assert session.get(Batch, batch_id) is not None


def test_an_instance_that_outlived_its_job_is_ended_and_keeps_no_picture(
    services: Services, durable: Durable
) -> None:
    job = make_job(services)
    services.jobs.cancel(job.job_id)
    age(services, job, OLD)
    durable.instances = {job.instance_id: "Suspended"}
    assert tick(durable) == 1
    assert durable.instances == {job.instance_id: "Terminated"}
    assert now(services, job).expired_at is not None


def test_a_job_that_is_run_again_meanwhile_stays(services: Services, durable: Durable) -> None:
    job = make_job(services)
    services.jobs.cancel(job.job_id)
    ended = now(services, job)
    services.jobs.begin_run(job.job_id, instance_id="i2", run=2, deadline=job.deadline)
    assert services.retention.expire(ended) is False
    assert now(services, job).expired_at is None


def test_an_expired_job_that_is_run_again_is_not_expired(services: Services, durable: Durable) -> None:
    job = make_job(services)
    services.jobs.cancel(job.job_id)
    age(services, job, OLD)
    assert tick(durable) == 1
    again = services.jobs.begin_run(job.job_id, instance_id="i2", run=2, deadline=job.deadline)
    assert again is not None
    assert again.expired_at is None


def test_old_log_events_go_and_the_others_stay(services: Services, durable: Durable) -> None:
    jobs = [make_job(services) for _ in range(3)]
    with services.database.write() as session:
        for event in session.exec(select(JobEvent).where(JobEvent.job_id == jobs[0].job_id)):
            event.at = utc_now() - timedelta(days=91)
    tick(durable)
    with services.database.read() as session:
        left = {event.job_id for event in session.exec(select(JobEvent).order_by(col(JobEvent.id)))}
    assert left == {job.job_id for job in jobs[1:]}
    assert state(services, jobs[0])[0] == JobState.QUEUED


def test_storage_that_is_away_ends_the_tick_and_harms_nothing(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [old_job(services) for _ in range(6)]

    def away(ref: BlobRef) -> None:
        raise StorageError(f"{ref.path} could not be deleted")

    monkeypatch.setattr(services.storage, "delete", away)
    with pytest.raises(StorageError):
        tick(durable)
    assert all(now(services, job).expired_at is None for job in jobs)
