"""What a large batch asks the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from api.intake import JobFromBlob
from api.v1.batch_items import create_jobs
from imagery.contracts import UPLOADS, BlobRef
from imagery.database.tables import Batch
from imagery.principal import Principal, Role
from imagery.services import Services
from imagery.storage import BlobProperties, LocalStorage, StorageError

PHOTOS = 25


@pytest.fixture
def items(services: Services) -> list[JobFromBlob]:
    user, _ = services.users.create("ann", Role.USER)
    refs = [BlobRef(container=UPLOADS, name=f"{user.user_id}/t{n:02}/a.jpg") for n in range(PHOTOS)]
    for ref in refs:
        services.storage.write(ref, b"photo", "image/jpeg")
    return [JobFromBlob(blob=ref.path) for ref in refs]


def make(services: Services, items: list[JobFromBlob]) -> tuple[int, list[str]]:
    owner = items[0].blob.split("/")[1]
    batch, _ = services.batches.create(Batch(batch_id="b-1", owner_id=owner, items=len(items), refused=[]))
    jobs, refused = create_jobs(batch.batch_id, Principal(owner, "ann", Role.USER), items)
    return len(jobs), [each.code for each in refused]


def test_one_listing_stands_for_many_looks(
    services: Services, items: list[JobFromBlob], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look = LocalStorage.properties

    def glance(storage: LocalStorage, container: str, prefix: str, limit: int) -> dict[str, BlobProperties]:
        found = list(storage.list(container, prefix))[: PHOTOS - 3]
        return {ref.name: look(storage, ref) for ref in found}

    def properties(storage: LocalStorage, ref: BlobRef) -> BlobProperties:
        looked.append(ref.name)
        return look(storage, ref)

    monkeypatch.setattr(LocalStorage, "glance", glance)
    monkeypatch.setattr(LocalStorage, "properties", properties)
    missing = JobFromBlob(blob=items[0].blob.replace("t00", "gone"))
    assert make(services, [*items, missing]) == (PHOTOS, ["source_not_found"])
    assert len(looked) == 4, "what the listing did not hold"


def test_a_listing_that_fails_costs_no_item(
    services: Services, items: list[JobFromBlob], monkeypatch: pytest.MonkeyPatch
) -> None:
    def glance(*_: object) -> dict[str, BlobProperties]:
        raise StorageError("not now")

    monkeypatch.setattr(LocalStorage, "glance", glance)
    assert make(services, items) == (PHOTOS, [])


@contextmanager
def statements(services: Services) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(services.database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(services.database.engine, "before_cursor_execute", note)


def reads(asked: list[str]) -> list[str]:
    # SQLite writes events one by one, PostgreSQL all at once
    return [each for each in asked if each.startswith(("SELECT", "UPDATE"))]


def test_the_database_is_not_asked_once_an_item(services: Services, items: list[JobFromBlob]) -> None:
    """1,000 items were 3,000 looks for owners and tickets, and their cancel 2,000 looks for money."""
    with statements(services) as made:
        assert make(services, items) == (PHOTOS, [])
    assert len(reads(made)) < PHOTOS, made
    with statements(services) as cancelled:
        services.jobs.cancel_many(services.batches.open_jobs("b-1"))
    assert len(reads(cancelled)) < PHOTOS, cancelled
    assert services.batches.totals("b-1") == ({"CANCELLED": PHOTOS}, 0.0)


def test_a_name_that_can_be_none_is_refused_and_not_asked_for(
    services: Services, items: list[JobFromBlob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL takes no NUL: one such name ended the whole batch."""
    asked: list[str] = []
    of_blobs = services.tickets.of_blobs

    def note(names: list[str]) -> Any:
        asked.extend(names)
        return of_blobs(names)

    monkeypatch.setattr(services.tickets, "of_blobs", note)
    owner = items[0].blob.split("/")[1]
    odd = JobFromBlob(blob=f"{UPLOADS}/{owner}/\0/a.jpg")
    assert make(services, [*items, odd]) == (PHOTOS, ["invalid_blob_name"])
    assert asked
    assert not [name for name in asked if "\0" in name]
