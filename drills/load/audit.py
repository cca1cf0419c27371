"""After the load: the ledger against the bill, job by job and picture by picture, and each promise kept."""

from __future__ import annotations

import io
import time
from typing import Any

import httpx
from PIL import Image

from drills.load.target import Target
from imagery.contracts import TERMINAL_STATES, ImageSize, JobState

_CENT = 1e-6
_NOTHING: dict[str, Any] = {"billed": 0, "usd": 0.0, "by_model": {}}


def wait_for_the_last_bill(target: Target, quiet_s: float = 10.0, limit_s: float = 300.0) -> None:
    """A caller that gave up does not stop the service: what it works on is billed a little later."""
    until, last, since = time.monotonic() + limit_s, -1, time.monotonic()
    while time.monotonic() < until and time.monotonic() - since < quiet_s:
        billed = target.bill()["billed"]
        if billed != last:
            last, since = billed, time.monotonic()
        time.sleep(0.5)


def resolve_unknown(target: Target) -> int:
    """Do as an operator does: settle each lost answer by what the bill says. How many there were."""
    bill, resolved = target.bill()["by_job"], 0
    for _ in range(50):
        calls = target.api.get("/api/v1/spend").json()["unknown"]
        if not calls:
            break
        for call in calls:
            charged = bill.get(call["job_id"], _NOTHING)["billed"] > 0
            answer = target.api.post(
                f"/api/v1/jobs/{call['job_id']}/spend/resolve", json={"charged": charged}
            )
            assert answer.status_code == 200, answer.text
            resolved += 1
    return resolved


def problems(target: Target, statuses: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as promised, in words."""
    found, bill = [], target.bill()["by_job"]
    for job_id, status in statuses.items():
        if JobState(status["state"]) not in TERMINAL_STATES:
            found.append(f"{job_id} hangs in {status['state']} {status['stage']}")
        entry = bill.get(job_id, _NOTHING)
        if entry["billed"] > 1:
            found.append(f"{job_id} was billed {entry['billed']} times")
        now = target.api.get(f"/api/v1/status/{job_id}").json()
        if abs(now["cost_usd"] - entry["usd"]) > _CENT:
            found.append(f"{job_id} says ${now['cost_usd']} and was billed ${entry['usd']}")
        found += [
            f"{job_id} ordered {now['image_size']} and was billed {size} of {model}"
            for model, sizes in entry["by_model"].items()
            for size in sizes
            # a picture may come smaller than it was ordered; then it is billed as what it is
            if size not in {now["image_size"], ImageSize.K1}
        ]
        if status["state"] == "COMPLETED":
            found += [f"{job_id} {stage}: no picture" for stage in _missing(target.api, job_id)]
    unknown = [job_id for job_id in set(bill) - set(statuses) if bill[job_id]["billed"]]
    return found + [f"{job_id} was billed and is no job of this load" for job_id in unknown]


def billed_pictures(target: Target) -> dict[str, float]:
    """USD by ``model/size``, as the bill has them."""
    return {
        f"{model}/{size}": entry["usd"]
        for model, sizes in target.bill()["by_model"].items()
        for size, entry in sizes.items()
    }


def paid_pictures(target: Target) -> dict[str, float]:
    """The same, as the ledger has them."""
    models = target.api.get("/api/v1/spend").json()["models"]
    return {f"{each['model']}/{each['size']}": each["settled_usd"] for each in models if each["settled_usd"]}


def differences(bill: dict[str, float], ledger: dict[str, float], before: dict[str, float]) -> list[str]:
    """Where ledger and bill do not have the same sum for a model's pictures of one size, in words."""
    paid = {name: usd - before.get(name, 0.0) for name, usd in ledger.items()}
    return [
        f"{name}: the ledger says ${paid.get(name, 0.0):.4f}, the bill ${bill.get(name, 0.0):.4f}"
        for name in sorted(bill.keys() | paid.keys())
        if abs(bill.get(name, 0.0) - paid.get(name, 0.0)) > _CENT
    ]


def _missing(api: httpx.Client, job_id: str) -> list[str]:
    missing = []
    for stage in ("guardrail", "rembg", "realesrgan", "nano_banana"):
        answer = api.get(f"/api/v1/jobs/{job_id}/images/{stage}", follow_redirects=True)
        try:
            Image.open(io.BytesIO(answer.content)).load()
        except OSError:
            missing.append(stage)
    return missing
