"""What callers learn of prices before and after, and that nothing above ``max_usd`` is started."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlmodel import select

from api.app import create_app
from api.durable import with_client
from imagery.contracts import UPLOADS, BlobRef, ImageSize, JobOptions, Stage
from imagery.database.paid_answers import PaidAnswer
from imagery.database.tables import ImageJob, SpendEntry
from imagery.job_ids import upload_job_id
from imagery.prices import PictureOrder
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.pictures import encoded
from testbed.services import forget
from tests.api.test_statuses import DurableClient
from tests.lifecycle.jobs import make_job

MODEL = "gemini-3-pro-image"
PICTURE = encoded("JPEG")
TABLE = f"models={MODEL}:1K=0.134,2K=0.134,4K=0.24"


class Door:
    """The app in this process, and a user and an operator before it."""

    def __init__(self) -> None:
        self.services = get_services()
        self.user, user_key = self.services.users.create("ann", Role.USER)
        self.other, other_key = self.services.users.create("=HYPERLINK(1)", Role.USER)
        _, operator_key = self.services.users.create("olga", Role.OPERATOR)
        self.keys = {"ann": user_key, "other": other_key, "olga": operator_key}
        self._app = create_app()

    def call(self, method: str, path: str, by: str = "ann", **more: Any) -> httpx.Response:
        headers = {"X-API-Key": self.keys[by], **more.pop("headers", {})}

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, f"/api/v1{path}", headers=headers, **more)

        return asyncio.run(go())

    def post(self, path: str, by: str = "ann", **more: Any) -> httpx.Response:
        return self.call("POST", path, by, **more)

    def upload(self, name: str = "x.jpg") -> str:
        """A blob of ann's."""
        ref = BlobRef(container=UPLOADS, name=f"{self.user.user_id}/batch-1/{name}")
        return self.services.storage.write(ref, PICTURE, "image/jpeg").path

    def rows(self) -> int:
        with self.services.database.read() as session:
            return len(session.exec(select(ImageJob)).all())

    def paid(self, owner: str, size: ImageSize, micro: int, **more: Any) -> str:
        """A job of an owner whose call was settled at this price."""
        ledger, made = self.services.ledger, make_job(self.services, owner_id=owner)
        order = PictureOrder("gemini_api", MODEL, size)
        entry = ledger.reserve(made.job_id, 1, Stage.NANO_BANANA, 0.134, order=order).entry_id
        ledger.mark_sent(entry, 1)
        answer = PaidAnswer(micro, size=size, width=1024, height=1024, **{"model": MODEL, **more})
        ledger.record_answer(entry, answer)
        with self.services.database.write() as session:
            ledger.settle(session, made.job_id, Stage.NANO_BANANA)
        return made.job_id


@pytest.fixture
def door(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setenv("NANO_BANANA_MODEL", MODEL)
    monkeypatch.setenv("NANO_BANANA_PRICES", TABLE)
    monkeypatch.setenv("QUOTA", "usd_per_day=1.0")
    forget()
    with with_client(DurableClient()):  # no more of a client is needed
        yield Door()
    get_services().guardrail.close()


def test_a_quote_is_the_price_of_the_order_and_starts_nothing(door: Door) -> None:
    quote = door.post("/quote", json={"image_size": "4K", "aspect_ratio": "16:9", "count": 3}).json()
    assert quote == {
        "model": MODEL,
        "image_size": "4K",
        "count": 3,
        "price_usd": 0.24,
        "total_usd": 0.72,
        "currency": "USD",
        "remaining_usd": 1.0,
        "fits": True,
    }
    assert door.post("/quote", json={}).json()["total_usd"] == 0.134
    assert not door.post("/quote", json={"count": 8}).json()["fits"], "1.072 of 1.00"
    assert not door.post("/quote", json={"max_usd": 0.1}).json()["fits"]
    assert door.rows() == 0


def test_a_quote_knows_what_open_and_paid_jobs_leave(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.paid(door.user.user_id, ImageSize.K4, 240_000)
    make_job(door.services, owner_id=door.user.user_id, options=JobOptions(image_size=ImageSize.K4))
    assert door.post("/quote", json={}).json()["remaining_usd"] == 0.52
    monkeypatch.setenv("BUDGET_USD_PER_DAY", "0.3")
    forget()
    assert door.post("/quote", json={}).json()["remaining_usd"] == pytest.approx(0.06), "everybody's"


def test_a_price_above_the_limit_is_a_402_before_anything_is_written(door: Door) -> None:
    file = {"file": ("p.jpg", PICTURE, "image/jpeg")}
    upload = {"filename": "p.jpg", "content_type": "image/jpeg", "size": 1000}
    blob = door.upload()
    asked = [
        door.post("/process", files=file, data={"max_usd": "0.1"}),
        door.post("/process", files=file, data={"max_usd": "0"}, headers={"Idempotency-Key": "k"}),
        door.post("/process", json={"blob": blob, "max_usd": 0.2, "image_size": "4K"}),
        door.post(
            "/batches", json={"items": [{"blob": blob}, {"blob": door.upload("y.jpg")}], "max_usd": 0.2}
        ),
        door.post("/uploads", json={**upload, "max_usd": 0.1}),
    ]
    for answer in asked:
        assert (answer.status_code, answer.json()["code"]) == (402, "price_above_max"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert "costs $0.24, and max_usd allows $0.2" in asked[2].json()["detail"]
    assert door.rows() == 0
    assert door.services.batches.page(None, 10, None) == []
    assert door.post("/process", files=file, data={"max_usd": "0.134"}).status_code == 202


@pytest.mark.parametrize("wrong", ["-1", "NaN", "inf", "much", "1e9"])
def test_a_limit_that_is_no_price_is_not_valid(door: Door, wrong: str) -> None:
    file = {"file": ("p.jpg", PICTURE, "image/jpeg")}
    answer = door.post("/process", files=file, data={"max_usd": wrong})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


def test_the_limit_changes_neither_ids_nor_keys_nor_the_cache(door: Door) -> None:
    """The same picture is asked for, under a condition: it must not be made, or paid, twice for that."""
    blob = BlobRef(container=UPLOADS, name="x", etag="1")
    for options in (JobOptions(), JobOptions(image_size=ImageSize.K2, prompt="on snow")):
        limited = options.model_copy(update={"max_usd": 0.5})
        assert upload_job_id(blob, limited) == upload_job_id(blob, options)
        jobs = [make_job(door.services, options=each) for each in (options, limited)]
        for job in jobs:
            job.content_hash = "h"
        keys = [door.services.stage_cache.key(job, Stage.NANO_BANANA) for job in jobs]
        assert keys[0] == keys[1] is not None
    file, key = {"file": ("p.jpg", PICTURE, "image/jpeg")}, {"Idempotency-Key": "once"}
    first = door.post("/process", files=file, data={"max_usd": "0.2"}, headers=key)
    again = door.post("/process", files=file, headers=key)
    assert (first.status_code, again.status_code) == (202, 200), again.text
    assert first.json()["job_id"] == again.json()["job_id"]
    lower = door.post("/process", files=file, data={"max_usd": "0.01"}, headers=key)
    assert lower.status_code == 200, "the job is there: nothing more is paid for it"


def test_a_batch_shares_its_limit_among_its_items(door: Door) -> None:
    items = [{"blob": door.upload("a.jpg")}, {"blob": door.upload("b.jpg"), "image_size": "4K"}]
    made = door.post("/batches", json={"items": [*items, {"blob": "uploads/none"}], "max_usd": 1.0})
    assert made.status_code == 202, made.text
    assert made.json()["estimated_usd"] == 0.374
    with door.services.database.read() as session:
        limits = sorted(
            JobOptions.from_json(job.options).max_usd or 0 for job in session.exec(select(ImageJob))
        )
    assert limits == [0.263779, 0.47244]
    assert sum(limits) <= 1.0
    own = {"items": [{"blob": door.upload("c.jpg"), "max_usd": 0.01}, {"blob": door.upload("d.jpg")}]}
    (refused,) = door.post("/batches", json=own).json()["refused"]
    assert (refused["index"], refused["code"]) == (0, "price_above_max")


def test_a_job_shows_its_estimate_until_it_has_its_picture(door: Door) -> None:
    job = make_job(door.services, owner_id=door.user.user_id, options=JobOptions(image_size=ImageSize.K4))
    shown = door.call("GET", f"/status/{job.job_id}").json()
    assert (shown["estimated_usd"], shown["cost_usd"]) == (0.24, 0.0)
    door.services.jobs.cancel(job.job_id)
    assert door.call("GET", f"/status/{job.job_id}").json()["estimated_usd"] is None


def test_spend_is_shown_by_model_and_size(door: Door) -> None:
    for owner, size, micro in (
        (door.user.user_id, ImageSize.K1, 134_000),
        (door.user.user_id, ImageSize.K4, 240_000),
        (door.other.user_id, ImageSize.K4, 240_001),
    ):
        door.paid(owner, size, micro)
    own = door.call("GET", "/spend").json()
    assert [(each["model"], each["size"], each["settled_usd"]) for each in own["models"]] == [
        (MODEL, "4K", 0.24),
        (MODEL, "1K", 0.134),
    ]
    everybody = door.call("GET", "/spend", "olga").json()["models"]
    assert [(each["size"], each["pictures"], each["settled_usd"]) for each in everybody] == [
        ("4K", 2, 0.480001),
        ("1K", 1, 0.134),
    ]


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_table_has_each_call_and_no_formula(door: Door) -> None:
    mine = door.paid(door.user.user_id, ImageSize.K4, 240_000, response_id="=cmd|' /C calc'!A0")
    theirs = door.paid(door.other.user_id, ImageSize.K1, 134_567, model="@SUM(1)", response_id='a,"b"')
    unsent = make_job(door.services, owner_id=door.user.user_id)
    door.services.ledger.reserve(unsent.job_id, 1, Stage.NANO_BANANA, 0.134)
    (own,) = table(door.call("GET", "/spend.csv"))
    assert (own["job_id"], own["owner"], own["usd"], own["state"]) == (mine, "ann", "0.240000", "settled")
    assert (own["ordered_size"], own["delivered_size"]) == ("4K", "4K")
    assert own["response_id"] == "'=cmd|' /C calc'!A0"
    answer = door.call("GET", "/spend.csv", "olga")
    first, second = table(answer)
    assert (first["job_id"], second["job_id"]) == (mine, theirs)
    assert (second["owner"], second["model"], second["response_id"]) == (
        "'=HYPERLINK(1)",
        "'@SUM(1)",
        'a,"b"',
    )
    assert sum(round(float(each["usd"]) * 1_000_000) for each in (first, second)) == 374_567
    assert len(answer.text.splitlines()[1].split(",")) == len(answer.text.splitlines()[0].split(","))


def test_the_table_is_read_page_by_page(door: Door) -> None:
    jobs = [door.paid(door.user.user_id, ImageSize.K1, 1_000 + number) for number in range(5)]
    seen: list[str] = []
    after = "0"
    for _ in range(4):
        answer = door.call("GET", f"/spend.csv?limit=2&after={after}")
        after = answer.headers["X-Last-Entry-ID"]
        seen += [each["job_id"] for each in table(answer)]
    assert seen == jobs


def test_a_call_that_cost_nothing_says_so(door: Door) -> None:
    made = make_job(door.services, owner_id=door.user.user_id)
    entry = door.services.ledger.reserve(made.job_id, 1, Stage.NANO_BANANA, 0.134).entry_id
    door.services.ledger.mark_sent(entry, 1)
    door.services.ledger.release(entry, "503")
    (call,) = table(door.call("GET", "/spend.csv"))
    assert (call["state"], call["usd"], call["model"]) == ("released", "0.000000", "")
    with door.services.database.read() as session:
        assert session.exec(select(SpendEntry)).one().price_micro_usd == 134_000


@pytest.mark.parametrize("field", [{"max_usd": False}, {"seed": True}, {"fresh": 0}])
def test_json_types_are_not_mixed_up(field: dict[str, Any]) -> None:
    """``false`` read as a limit of USD 0, or 1 as true, is not what anybody meant."""
    with pytest.raises(ValidationError):
        JobOptions.model_validate(field)
    (name,) = field
    as_text = {"max_usd": "0.5", "seed": "7", "fresh": "true"}[name]
    assert getattr(JobOptions.model_validate({name: as_text}), name) in {0.5, 7, True}
