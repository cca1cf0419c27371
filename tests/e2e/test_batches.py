"""Batches on the running host: hundreds of items, a lost orchestration, cancel, quotas."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from imagery.principal import Role
from testbed.pictures import encoded
from testbed.stack import Stack
from tests.e2e.hosts import host_alone, instance, instances, put_upload

PARALLEL = 8
# a thousand, the largest batch there may be, is what `make drill NAME=crowd` sends
MANY = 300
PHOTO = encoded("JPEG", size=(96, 96))


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with host_alone(request, tmp_path_factory) as running:
        yield running


@pytest.fixture
def ann(host: Stack) -> tuple[str, str, httpx.Client]:
    """A user with a small quota: name, id and client."""
    name = f"ann {uuid.uuid4().hex[:8]}"
    user, key = host.users().create(name, Role.USER)
    host.users().change(name, jobs_per_minute=3, concurrent_jobs=40)
    return name, user.user_id, host.client_of(key)


def items(host: Stack, owner_id: str, count: int, **options: str) -> list[dict[str, str]]:
    names = [f"{owner_id}/{uuid.uuid4()}/p.jpg" for _ in range(count)]
    return [{"blob": put_upload(host, name, PHOTO), **options} for name in names]


def wait_for(found: Callable[[], bool], limit_s: float = 30) -> None:
    until = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.2)


def timed(call: Callable[[], httpx.Response]) -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    answer = call()
    assert answer.status_code in {200, 202}, answer.text[:2000]
    body: dict[str, Any] = answer.json()
    return body, time.perf_counter() - started


def test_hundreds_of_items_are_taken_told_and_cancelled(
    host: Stack, ann: tuple[str, str, httpx.Client], record_property: Callable[[str, object], None]
) -> None:
    _, owner_id, client = ann
    count = MANY
    client.timeout = httpx.Timeout(240)
    order = {"items": items(host, owner_id, count)}
    batch, taken_s = timed(lambda: client.post("/api/v1/batches", json=order))
    assert (batch["requested"], batch["items"], batch["refused"]) == (count, count, [])
    path = f"/api/v1/batches/{batch['batch_id']}"
    wait_for(lambda: len(instances(host, "Running")) > PARALLEL)
    assert sorted(instances(host, "Running").values()) == ["batch", *["image_pipeline"] * PARALLEL]
    told, told_s = timed(lambda: client.get(path))
    assert told["states"]["QUEUED"] >= count - 2 * PARALLEL
    cancelled, cancelled_s = timed(lambda: client.post(f"{path}/cancel"))
    assert cancelled["states"] == {"CANCELLED": count}
    assert (cancelled["progress"], cancelled["ended"]) == (1.0, count)
    again, _ = timed(lambda: client.post(f"{path}/cancel"))
    assert again["cancelled_at"] == cancelled["cancelled_at"]
    wait_for(lambda: instances(host, "Running") == {})
    assert instance(host, f"batch-{batch['batch_id']}") == "Terminated"
    measured = {"taken_s": taken_s, "told_s": told_s, "cancelled_s": cancelled_s}
    for name, seconds in measured.items():
        record_property(name, round(seconds, 2))
    assert told_s < 10
    assert max(taken_s, cancelled_s) < 230, "ingress ends a request then"


def test_a_batch_whose_host_dies_goes_on_with_so_many_at_a_time(
    host: Stack, ann: tuple[str, str, httpx.Client]
) -> None:
    _, owner_id, client = ann
    batch, _ = timed(lambda: client.post("/api/v1/batches", json={"items": items(host, owner_id, 30)}))
    name = f"batch-{batch['batch_id']}"
    wait_for(lambda: len(instances(host, "Running")) > PARALLEL)
    host.host.stop(signal.SIGKILL)
    host.host.start()
    host.host.wait_ready()
    wait_for(lambda: instance(host, name) == "Running")
    wait_for(lambda: len(instances(host, "Running")) > PARALLEL)
    time.sleep(6)  # a few ticks of the reconciler
    assert sorted(instances(host, "Running").values()) == ["batch", *["image_pipeline"] * PARALLEL]
    timed(lambda: client.post(f"/api/v1/batches/{batch['batch_id']}/cancel"))
    wait_for(lambda: instances(host, "Running") == {})


def test_the_same_key_is_the_same_batch(host: Stack, ann: tuple[str, str, httpx.Client]) -> None:
    _, owner_id, client = ann
    order, headers = {"items": items(host, owner_id, 2)}, {"Idempotency-Key": "one"}
    first = client.post("/api/v1/batches", json=order, headers=headers)
    second = client.post("/api/v1/batches", json=order, headers=headers)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["batch_id"] == second.json()["batch_id"]
    assert first.headers["Location"] == second.headers["Location"]
    other = client.post("/api/v1/batches", json={"items": order["items"][:1]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    timed(lambda: client.post(f"{first.headers['Location']}/cancel"))


def test_batches_are_listed_newest_first_to_their_owner(
    host: Stack, ann: tuple[str, str, httpx.Client]
) -> None:
    _, owner_id, client = ann
    made = []
    for count in (1, 2, 3):
        batch, _ = timed(
            lambda count=count: client.post("/api/v1/batches", json={"items": items(host, owner_id, count)})  # type: ignore[misc]
        )
        made.append(batch["batch_id"])
    first = client.get("/api/v1/batches", params={"limit": 2}).json()
    rest = client.get("/api/v1/batches", params={"limit": 2, "cursor": first["cursor"]}).json()
    listed = [*first["batches"], *rest["batches"]]
    assert [each["batch_id"] for each in listed] == made[::-1]
    assert [each["items"] for each in listed] == [3, 2, 1]
    assert rest["cursor"] is None
    jobs = client.get("/api/v1/jobs", params={"batch_id": made[1]}).json()["jobs"]
    assert {job["batch_id"] for job in jobs} == {made[1]}
    assert len(jobs) == 2
    for batch_id in made:
        timed(lambda path=f"/api/v1/batches/{batch_id}/cancel": client.post(path))  # type: ignore[misc]


def test_items_without_money_are_refused_and_told_again(
    host: Stack, ann: tuple[str, str, httpx.Client]
) -> None:
    name, owner_id, client = ann
    host.users().change(name, usd_per_day=0.16)
    order = {"items": [*items(host, owner_id, 3), {"blob": "uploads/nothing.jpg"}]}
    batch, _ = timed(lambda: client.post("/api/v1/batches", json=order))
    told, _ = timed(lambda: client.get(f"/api/v1/batches/{batch['batch_id']}"))
    assert (told["requested"], told["items"]) == (4, 2)
    codes = [(item["index"], item["code"]) for item in told["refused"]]
    assert codes == [(2, "quota_usd_per_day"), (3, "source_not_found")]
    timed(lambda: client.post(f"/api/v1/batches/{batch['batch_id']}/cancel"))


def test_a_batch_counts_as_one_job_of_the_minute(host: Stack, ann: tuple[str, str, httpx.Client]) -> None:
    _, owner_id, client = ann
    made = []
    for _ in range(3):
        batch, _ = timed(lambda: client.post("/api/v1/batches", json={"items": items(host, owner_id, 5)}))
        made.append(batch["batch_id"])
    refused = client.post("/api/v1/batches", json={"items": items(host, owner_id, 1)})
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_jobs_per_minute")
    for batch_id in made:
        timed(lambda path=f"/api/v1/batches/{batch_id}/cancel": client.post(path))  # type: ignore[misc]


def test_a_batch_of_nothing_leaves_nothing(host: Stack, ann: tuple[str, str, httpx.Client]) -> None:
    _, _, client = ann
    order, headers = {"items": [{"blob": "uploads/nothing.jpg"}]}, {"Idempotency-Key": "none"}
    for _ in range(2):
        answer = client.post("/api/v1/batches", json=order, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "batch_empty")
