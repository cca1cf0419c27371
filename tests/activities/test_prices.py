"""The paid stage with a provider whose pictures, and prices, are not always those that were ordered."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from sqlmodel import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.place import place
from imagery.contracts import ImageSize, JobOptions, Stage, StageOutcome, paid_answer
from imagery.database.money import SpendState
from imagery.database.spend_report import by_model, committed_usd
from imagery.database.tables import SpendEntry, utc_day
from imagery.services import Services, get_services
from lifecycle.ledger_sweep import close_lost_calls
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed, message
from tests.activities.test_place import make_job as job_with_cutout
from tests.events import events_of

MODEL = "gemini-3-pro-image"
TABLE = f"models={MODEL}:1K=0.134,2K=0.15,4K=0.24"
TOKENS = f"models={MODEL}:1K=0.134,2K=0.15,input_tokens=2,output_tokens=12,image_tokens=120"


@dataclass
class Provider:
    """Stands for the image model: a picture of this size, or none, with these counts of tokens."""

    size: tuple[int, int] | None = (1024, 1024)
    usage: dict[str, Any] = field(default_factory=dict)
    calls: int = 0

    async def answer(self, _: Request) -> Response:
        self.calls += 1
        said = {"usageMetadata": self.usage, "modelVersion": f"{MODEL}-002", "responseId": "resp-1"}
        if self.size is None:
            return JSONResponse({"candidates": [{"finishReason": "IMAGE_SAFETY"}], **said})
        buffer = io.BytesIO()
        Image.new("RGB", self.size, (90, 120, 150)).save(buffer, "PNG", compress_level=1)
        data = base64.b64encode(buffer.getvalue()).decode()
        parts = [{"text": "Here it is."}, {"inlineData": {"mimeType": "image/png", "data": data}}]
        return JSONResponse({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], **said})


@pytest.fixture
def provider(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    made = Provider()
    server = Server(Starlette(routes=[Route("/{path:path}", made.answer, methods=["POST"])]))
    monkeypatch.setenv("NANO_BANANA_BASE_URL", server.url)
    monkeypatch.setenv("NANO_BANANA_MODEL", MODEL)
    priced(monkeypatch, TABLE)
    yield made
    server.stop()


def priced(monkeypatch: pytest.MonkeyPatch, words: str) -> Services:
    monkeypatch.setenv("NANO_BANANA_PRICES", words)
    forget()
    return get_services()


def make_job(services: Services, **options: Any) -> str:
    job_id = job_with_cutout(services)
    with services.database.write() as session:
        job = services.jobs.get(job_id)
        assert job is not None
        job.options = JobOptions(**options).to_json()
        session.add(job)
    return job_id


def entry_of(services: Services, job_id: str) -> SpendEntry:
    with services.database.read() as session:
        return session.exec(select(SpendEntry).where(SpendEntry.job_id == job_id)).one()


def committed(services: Services) -> float:
    with services.database.read() as session:
        return committed_usd(session, utc_day(), None)


def test_a_smaller_picture_than_ordered_costs_what_it_is(provider: Provider) -> None:
    services = get_services()
    job_id = make_job(services, image_size=ImageSize.K4)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, 0.134)
    assert committed(services) == 0.134
    kept = entry_of(services, job_id)
    assert (kept.provider, kept.model, kept.image_size) == ("gemini_api", MODEL, "4K")
    assert (kept.answered_model, kept.response_id, kept.text) == (f"{MODEL}-002", "resp-1", "Here it is.")
    assert (kept.delivered_size, kept.width, kept.height) == ("1K", 1024, 1024)
    events = [each.event for each in events_of(services.database, job_id, level="warning")]
    assert events == ["size_not_delivered"]
    view = services.jobs.view(job_id)
    assert view is not None and view.stages[0].cost_usd == 0.134


def test_a_larger_picture_than_ordered_costs_what_it_is(provider: Provider) -> None:
    provider.size = (2752, 1536)
    services = get_services()
    job_id = make_job(services, aspect_ratio="16:9")
    assert place(message(job_id))["cost_usd"] == 0.15
    assert committed(services) == 0.15


def test_tokens_settle_where_they_have_prices(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    services = priced(monkeypatch, TOKENS)
    provider.usage = {"promptTokenCount": 500, "candidatesTokenCount": 1120, "thoughtsTokenCount": 100}
    job_id = make_job(services)
    assert place(message(job_id))["cost_usd"] == 0.1366
    assert entry_of(services, job_id).usage == provider.usage
    assert committed(services) == 0.1366


@pytest.mark.parametrize(("words", "cost"), [(TOKENS, 0.0), (f"refusals=true {TOKENS}", 0.0022)])
def test_a_refusal_costs_where_the_provider_charges_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, words: str, cost: float
) -> None:
    services = priced(monkeypatch, words)
    provider.size, provider.usage = None, {"promptTokenCount": 500, "thoughtsTokenCount": 100}
    job_id = make_job(services)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.REJECTED, "nano_banana_safety")
    assert committed(services) == cost
    assert entry_of(services, job_id).state == ("settled" if cost else "released")
    view = services.jobs.view(job_id)
    assert view is not None and view.stages[0].cost_usd == cost
    again = place(message(job_id))
    assert again["error_code"] == "nano_banana_safety"
    assert provider.calls == (1 if cost else 2), "what was charged is not asked again by itself"


def dying(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """The process dies in this call."""

    def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, die)


def test_a_host_that_dies_between_record_and_store_knows_the_price_of_the_lost_picture(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = get_services()
    job_id = make_job(services, image_size=ImageSize.K4)
    with monkeypatch.context() as patch:
        dying(patch, services.storage, "write")
        with pytest.raises(KeyboardInterrupt):
            place(message(job_id))
    kept = entry_of(services, job_id)
    assert (kept.state, kept.due_micro_usd) == ("sent", 134_000)
    services.ledger.mark_unknown(kept.id or 0, "its process died")
    resolved = services.ledger.resolve(job_id, Stage.NANO_BANANA, charged=True, by="olga")
    assert (resolved.state, resolved.price_micro_usd) == (SpendState.SETTLED, 134_000)
    assert committed(services) == 0.134


@pytest.mark.parametrize("closes", ["the next attempt", "the sweep"])
def test_a_host_that_dies_between_store_and_settle_settles_at_the_right_price(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, closes: str
) -> None:
    services = get_services()
    job_id = make_job(services, image_size=ImageSize.K4)
    with monkeypatch.context() as patch:
        dying(patch, type(services.stages), "settle")
        with pytest.raises(KeyboardInterrupt):
            place(message(job_id))
    assert services.storage.exists(paid_answer(job_id, Stage.NANO_BANANA, 1))
    assert (committed(services), entry_of(services, job_id).state) == (0.24, "sent")
    if closes == "the sweep":
        with services.database.write() as session:
            entry = session.exec(select(SpendEntry)).one()
            entry.sent_at = entry.reserved_at.replace(year=2020)
        assert close_lost_calls(services, 10) == 1
    else:
        assert place(message(job_id))["cost_usd"] == 0.134
    assert (committed(services), entry_of(services, job_id).state) == (0.134, "settled")
    assert provider.calls == 1


def test_a_ledger_that_can_not_be_written_does_not_take_the_picture_with_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = get_services()

    def fail(*_: Any) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(services.ledger, "record_answer", fail)
    job_id = make_job(services)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, 0.134)


def test_a_price_that_rose_above_the_limit_of_the_request_is_not_paid(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(get_services(), max_usd=0.134)
    services = priced(monkeypatch, f"models={MODEL}:1K=0.2")
    answer = place(message(job_id))
    assert (answer["outcome"], answer["error_code"]) == (StageOutcome.FAILED, "price_above_max")
    assert "costs $0.2 now, and the request allows $0.134" in answer["message"]
    assert (provider.calls, committed(services)) == (0, 0.0)
    priced(monkeypatch, TABLE)
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED


def test_the_ledger_is_the_simulators_bill_by_model_and_size(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANO_BANANA_MODEL", MODEL)
    services = priced(monkeypatch, TABLE)
    prices = services.settings.nano_banana.price_table
    simulator.client.post("/_simulator/faults", json={"next": ["safety", "drafts", "no_image"]})
    sizes = [ImageSize.K1, ImageSize.K2, ImageSize.K1, ImageSize.K1, ImageSize.K2]
    jobs = {make_job(services, image_size=size): size for size in sizes}
    for job_id in jobs:
        place(message(job_id))
    bill: dict[str, int] = {}
    for job_id, size in jobs.items():
        micro = billed(simulator, job_id)[1] * prices.of_order(size)
        if micro:
            bill[size.value] = bill.get(size.value, 0) + micro
    with services.database.read() as session:
        sums = by_model(session, "2000-01-01", None)
    assert {(each.model, each.size): round(each.settled_usd * 1_000_000) for each in sums} == {
        (MODEL, size): micro for size, micro in bill.items()
    }
    assert set(bill) == {"1K", "2K"}
