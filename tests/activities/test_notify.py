"""One attempt to deliver a callback: what each answer leads to."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from standardwebhooks import Webhook

from activities.notify import notify
from imagery.contracts import BlobRef, CallbackOrder, CallbackOutcome, JobRequest, JobState
from imagery.database.callbacks import delivery_id
from imagery.database.tables import CallbackDelivery, utc_now
from imagery.services import Services
from imagery.webhooks import webhook_secret
from testbed.servers import Server

MASTER = "a signing key of the tests, long enough"


class Receiver:
    """Answers one status after the other, the last one for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.delay_s = 0.0
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.app = FastAPI()
        self.app.post("/hook")(self.take)

    async def take(self, request: Request) -> Response:
        self.messages.append((dict(request.headers), await request.body()))
        time.sleep(self.delay_s)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        headers = {"Retry-After": "120"} if status == 429 else {"Location": "http://127.0.0.1:1/"}
        return Response(status_code=status, headers=headers)


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    made = Receiver()
    server = Server(made.app)
    yield made, f"{server.url}/hook"
    server.stop()


@pytest.fixture(autouse=True)
def signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SIGNING_KEY", MASTER)
    monkeypatch.setenv("CALLBACK_RETRY", "timeout_s=1")


def ended_job(services: Services, url: str) -> str:
    job_id = str(uuid.uuid4())
    request = JobRequest(
        job_id=job_id, source=BlobRef(container="uploads", name="x"), owner_id="ann", callback_url=url
    )
    services.jobs.create(request, instance_id="i", deadline=utc_now() + timedelta(hours=1))
    services.jobs.finish(job_id, 1, JobState.COMPLETED)
    return job_id


def attempt(job_id: str) -> CallbackOutcome:
    order = CallbackOrder(delivery_id=delivery_id(job_id, 1))
    return CallbackOutcome.from_json(notify(order.to_json()))


def delivery(services: Services, job_id: str) -> CallbackDelivery:
    view = services.jobs.view(job_id)
    assert view is not None
    assert view.callback is not None
    return view.callback


def test_the_message_is_signed_and_says_how_the_job_ended(
    receiver: tuple[Receiver, str], services: Services
) -> None:
    hook, url = receiver
    job_id = ended_job(services, url)
    assert attempt(job_id).delivered
    ((headers, body),) = hook.messages
    told = Webhook(webhook_secret(SecretStr(MASTER), "ann", 1)).verify(body, headers)
    assert (told["type"], told["data"]["job_id"], told["data"]["state"]) == (
        "job.completed",
        job_id,
        "COMPLETED",
    )
    assert delivery(services, job_id).state == "delivered"


def test_what_was_delivered_is_not_sent_again(receiver: tuple[Receiver, str], services: Services) -> None:
    hook, url = receiver
    job_id = ended_job(services, url)
    attempt(job_id)
    assert attempt(job_id) == CallbackOutcome()
    assert len(hook.messages) == 1


@pytest.mark.parametrize("status", [500, 503, 404, 302, 307, 400])
def test_every_other_answer_is_tried_again_with_the_same_id(
    receiver: tuple[Receiver, str], services: Services, status: int
) -> None:
    hook, url = receiver
    hook.statuses = [status, 200]
    job_id = ended_job(services, url)
    first = attempt(job_id)
    assert not first.delivered
    assert first.retry_after_s is not None
    assert 6 <= first.retry_after_s <= 7
    row = delivery(services, job_id)
    assert (row.state, row.last_status, row.attempts) == ("pending", status, 1)
    assert attempt(job_id).delivered
    assert len({headers["webhook-id"] for headers, _ in hook.messages}) == 1
    assert len(hook.messages) == 2, "a redirect is not followed"


def test_the_waits_grow_up_to_the_cap(receiver: tuple[Receiver, str], services: Services) -> None:
    hook, url = receiver
    hook.statuses = [500]
    job_id = ended_job(services, url)
    waits = [attempt(job_id).retry_after_s or 0.0 for _ in range(9)]
    assert waits[0] < waits[1] < waits[2] < waits[3]
    assert waits[8] == services.settings.callbacks.retry.cap_s + 1


def test_a_wait_that_is_asked_for_is_kept(receiver: tuple[Receiver, str], services: Services) -> None:
    hook, url = receiver
    hook.statuses = [429]
    assert attempt(ended_job(services, url)).retry_after_s == 121


def test_gone_ends_it(receiver: tuple[Receiver, str], services: Services) -> None:
    hook, url = receiver
    hook.statuses = [410]
    job_id = ended_job(services, url)
    assert attempt(job_id) == CallbackOutcome()
    assert delivery(services, job_id).state == "failed"


@pytest.mark.slow
def test_a_slow_receiver_is_left(receiver: tuple[Receiver, str], services: Services) -> None:
    hook, url = receiver
    hook.delay_s = 5.0
    started = time.monotonic()
    assert attempt(ended_job(services, url)).retry_after_s is not None
    assert time.monotonic() - started < 5


def test_an_address_that_has_become_private_is_given_up(services: Services) -> None:
    job_id = ended_job(services, "https://10.1.2.3/hook")
    assert attempt(job_id) == CallbackOutcome()
    row = delivery(services, job_id)
    assert row.state == "failed"
    assert "not public" in (row.last_error or "")


def test_it_is_given_up_after_its_lifetime(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, receiver: tuple[Receiver, str]
) -> None:
    monkeypatch.setenv("CALLBACK_RETRY", "timeout_s=1 lifetime_s=3")
    services: Services = request.getfixturevalue("services")
    hook, url = receiver
    hook.statuses = [500]
    job_id = ended_job(services, url)
    assert attempt(job_id).retry_after_s is None
    assert delivery(services, job_id).state == "failed"


def test_a_job_without_a_url_tells_nobody(services: Services) -> None:
    job_id = str(uuid.uuid4())
    request = JobRequest(job_id=job_id, source=BlobRef(container="uploads", name="x"), owner_id="ann")
    services.jobs.create(request, instance_id="i", deadline=utc_now() + timedelta(hours=1))
    services.jobs.finish(job_id, 1, JobState.COMPLETED)
    view = services.jobs.view(job_id)
    assert view is not None
    assert view.callback is None
    assert attempt(job_id) == CallbackOutcome()
