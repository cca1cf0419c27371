"""The audit after the load finds what a ledger and a bill say differently."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from drills.load.audit import billed_pictures, differences, problems
from drills.load.target import Target

BILL = {
    "by_job": {
        "a": {"calls": 1, "billed": 1, "usd": 0.05, "by_model": {"m": {"2K": {"billed": 1, "usd": 0.05}}}},
        "b": {"calls": 1, "billed": 1, "usd": 0.03, "by_model": {"m": {"1K": {"billed": 1, "usd": 0.03}}}},
    },
    "by_model": {"m": {"2K": {"billed": 1, "usd": 0.05}, "1K": {"billed": 1, "usd": 0.03}}},
}


def target(**jobs: dict[str, Any]) -> Target:
    """A stack that tells this bill, and these jobs' costs and sizes."""

    def told(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/_simulator/bill":
            return httpx.Response(200, json=BILL)
        return httpx.Response(200, json=jobs[request.url.path.rpartition("/")[2]])

    client = httpx.Client(transport=httpx.MockTransport(told), base_url="http://stack")
    return Target(client, client)


def job(cost_usd: float, size: str) -> dict[str, Any]:
    return {"state": "FAILED", "stage": None, "cost_usd": cost_usd, "image_size": size}


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (job(0.05, "2K"), []),
        (job(0.08, "2K"), ["a says $0.08 and was billed $0.05"]),
        (job(0.05, "1K"), ["a ordered 1K and was billed 2K of m"]),
    ],
)
def test_a_job_pays_what_its_picture_cost(first: dict[str, Any], found: list[str]) -> None:
    # b's picture came smaller than it was ordered
    jobs = {"a": first, "b": job(0.03, "4K")}
    assert problems(target(**jobs), jobs) == found


def test_the_bill_is_summed_by_picture() -> None:
    assert billed_pictures(target()) == {"m/2K": 0.05, "m/1K": 0.03}


def test_a_picture_that_the_ledger_has_at_another_size_is_noticed() -> None:
    bill = {"m/1K": 0.03, "m/2K": 0.05}
    assert differences(bill, bill, {}) == []
    assert differences(bill, {"m/1K": 0.06, "m/2K": 0.05}, {"m/1K": 0.03}) == []
    assert differences(bill, {"m/1K": 0.08}, {}) == [
        "m/1K: the ledger says $0.0800, the bill $0.0300",
        "m/2K: the ledger says $0.0000, the bill $0.0500",
    ]
