"""No upload is lost, whatever became of its event."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from imagery.contracts import UPLOADS, BlobRef, JobOptions, JobState
from imagery.database.job_views import JobFilter, JobView
from imagery.database.tables import UploadTicket
from imagery.principal import Role
from imagery.services import Services
from imagery.storage import BlobProperties, StorageError
from lifecycle import uploads
from lifecycle.uploads import on_upload, sweep
from tests.lifecycle.durable import Durable

PHOTO = b"photo"


def tick(durable: Durable) -> int:
    return asyncio.run(sweep(durable.client))


def upload(services: Services, name: str, data: bytes = PHOTO) -> BlobRef:
    return services.storage.write(BlobRef(container=UPLOADS, name=name), data, "image/jpeg")


def jobs(services: Services) -> list[JobView]:
    return services.jobs.page(JobFilter(owner_id=None), limit=100).jobs


def ticket(services: Services, *, size: int = len(PHOTO), options: JobOptions | None = None) -> UploadTicket:
    user, _ = services.users.create(f"ann {uuid.uuid4()}", Role.USER)
    ticket_id = str(uuid.uuid4())
    return services.tickets.add(
        ticket_id,
        owner_id=user.user_id,
        blob_name=f"{user.user_id}/{ticket_id}/p.jpg",
        size_bytes=size,
        content_type="image/jpeg",
        options=options or JobOptions(),
        callback_url=None,
        lifetime=timedelta(minutes=5),
    )


def test_an_upload_whose_event_was_lost_gets_the_job_of_its_event(
    services: Services, durable: Durable
) -> None:
    known = upload(services, "known.jpg")
    asyncio.run(on_upload(durable.client, UPLOADS, known.name))
    order = ticket(services, options=JobOptions(prompt="on snow"))
    lost = upload(services, order.blob_name)
    assert tick(durable) == 1
    assert tick(durable) == 0
    by_source = {view.job.source_name: view.job for view in jobs(services)}
    assert by_source.keys() == {known.name, lost.name}
    job = by_source[lost.name]
    assert (job.owner_id, job.options["prompt"], job.content_type) == (
        order.owner_id,
        "on snow",
        "image/jpeg",
    )
    assert job.instance_id in durable.started_ids()
    asyncio.run(on_upload(durable.client, UPLOADS, lost.name))
    assert len(jobs(services)) == 2, "the event that comes late finds the job"


def test_a_new_version_of_an_upload_is_an_upload_of_its_own(services: Services, durable: Durable) -> None:
    upload(services, "photo.jpg", b"one")
    assert tick(durable) == 1
    upload(services, "photo.jpg", b"another")
    assert tick(durable) == 1
    assert len(jobs(services)) == 2


def test_an_upload_of_another_size_than_promised_is_rejected(services: Services, durable: Durable) -> None:
    upload(services, ticket(services, size=1).blob_name)
    assert tick(durable) == 1
    assert [view.job.error_code for view in jobs(services)] == ["upload_size_mismatch"]
    assert durable.started == []


@pytest.mark.parametrize("variables", [{"RECONCILE": "grace_s=60"}])
def test_a_young_upload_waits_for_its_event(services: Services, durable: Durable) -> None:
    upload(services, "young.jpg")
    assert tick(durable) == 0
    assert jobs(services) == []


def test_an_upload_that_can_not_be_taken_in_ends_as_a_failed_job(
    services: Services, durable: Durable
) -> None:
    order = ticket(services)
    with services.database.write() as session:
        row = session.get(UploadTicket, order.ticket_id)
        assert row is not None
        row.options = {"prompt": ["no", "text"]}
    upload(services, order.blob_name)
    upload(services, "good.jpg")
    assert tick(durable) == 2
    ended = {view.job.source_name: (view.job.state, view.job.error_code) for view in jobs(services)}
    assert ended == {
        order.blob_name: (JobState.FAILED, "upload_unreadable"),
        "good.jpg": (JobState.QUEUED, None),
    }
    assert tick(durable) == 0, "it is not tried for ever"


def test_storage_that_does_not_answer_fails_no_upload(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(services, "photo.jpg")
    answers = services.storage.properties

    def away(ref: BlobRef) -> BlobProperties:
        raise StorageError("no answer")

    monkeypatch.setattr(services.storage, "properties", away)
    assert tick(durable) == 0
    assert jobs(services) == []
    monkeypatch.setattr(services.storage, "properties", answers)
    assert tick(durable) == 1


@pytest.mark.parametrize("variables", [{"RECONCILE": "starts=4"}])
def test_each_tick_looks_at_some_and_starts_a_few_until_none_is_left(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SWEPT_BLOBS", 6)
    for number in range(12):
        upload(services, f"{number}.jpg")
    started: list[int] = []
    while sum(started) < 12 and len(started) < 200:
        started.append(tick(durable))
    assert max(started) <= 4
    assert len(jobs(services)) == 12


def test_an_upload_over_its_quota_ends_as_a_failed_job(services: Services, durable: Durable) -> None:
    order = ticket(services)
    name = services.users.get(order.owner_id)
    assert name is not None
    services.users.change(name.name, usd_per_day=0.0)
    upload(services, order.blob_name)
    assert tick(durable) == 1
    outcome: Any = [(view.job.state, view.job.error_code) for view in jobs(services)]
    assert outcome == [(JobState.FAILED, "quota_usd_per_day")]


@pytest.mark.parametrize("name", ["a//b.jpg", "a\tb.jpg"])
def test_a_name_that_can_not_be_read_is_one_job_whoever_finds_it(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = BlobRef(container=UPLOADS, name=name, etag="1")
    other = upload(services, "other.jpg")
    monkeypatch.setattr(services.storage, "list", lambda *_: iter([found, other]))
    tick(durable)
    asyncio.run(on_upload(durable.client, UPLOADS, name))
    tick(durable)
    codes = {view.job.source_name: view.job.error_code for view in jobs(services)}
    assert codes == {name: "invalid_blob_name", "other.jpg": None}
    assert len(jobs(services)) == 2


def test_an_upload_larger_than_its_link_allows_is_deleted(services: Services, durable: Durable) -> None:
    for size, remains in ((len(PHOTO) - 1, False), (len(PHOTO) + 1, True)):
        ref = upload(services, ticket(services, size=size).blob_name)
        asyncio.run(on_upload(durable.client, UPLOADS, ref.name))
        assert services.storage.exists(ref) is remains
    assert {view.job.error_code for view in jobs(services)} == {"upload_size_mismatch"}


def test_the_mark_of_a_folder_is_no_upload(
    services: Services, durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage Explorer and hierarchical accounts write an empty blob for each folder."""
    ref = upload(services, "folder", b"")
    properties = services.storage.properties(ref)
    mark = replace(properties, is_folder=True)
    monkeypatch.setattr(services.storage, "properties", lambda _: mark)
    asyncio.run(on_upload(durable.client, UPLOADS, "folder"))
    tick(durable)
    assert jobs(services) == []
