"""The jobs of the load: what people send, each once, with its own photo, until it is taken."""

from __future__ import annotations

import io
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image, ImageEnhance

from imagery.contracts import TERMINAL_STATES, JobState
from testbed.stack import PHOTO

_SIDE = 112
_PAUSE_S = 0.3
_LOOK_EVERY_S = 2.0
_LIMIT_S = 1500.0
_TRANSPORT = (httpx.TransportError, ValueError)
BROKEN = b"\x89PNG\r\n\x1a\n this is no picture at all"


@dataclass
class Sent:
    """A job that was taken, and what kind it was."""

    job_id: str
    kind: str


@dataclass
class Log:
    """What became of the load."""

    sent: list[Sent] = field(default_factory=list)
    refused: int = 0
    retries: int = 0


def photo(number: int) -> bytes:
    """A piece of the sample photo with the cup in it, a little different for each number."""
    chance = random.Random(number)  # repeatable pictures, no secret
    with Image.open(PHOTO) as image:
        small = image.convert("RGB").resize((_SIDE + 16, _SIDE + 16))
    left, top = chance.randrange(16), chance.randrange(16)
    cut = small.crop((left, top, left + _SIDE, top + _SIDE))
    changed = ImageEnhance.Brightness(cut).enhance(chance.uniform(0.85, 1.15))
    buffer = io.BytesIO()
    changed.save(buffer, "JPEG", quality=chance.randrange(85, 96))
    return buffer.getvalue()


def kind_of(number: int) -> str:
    """The mix: mostly new photos, some sent before, some broken, some cancelled."""
    if number % 20 == 7:
        return "broken"
    if number % 20 == 13:
        return "cancelled"
    return "again" if number % 10 == 9 else "new"


def size_of(number: int) -> str:
    """One job in ten orders a larger picture."""
    return "2K" if number % 10 == 4 else "1K"


def send(api: httpx.Client, number: int, log: Log) -> None:
    """Send job ``number`` with its own key, again and again, until somebody takes or refuses it."""
    kind, key = kind_of(number), str(uuid.uuid4())
    data = BROKEN if kind == "broken" else photo(number - 1 if kind == "again" else number)
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        try:
            answer = api.post(
                "/api/v1/process",
                files={"file": (f"{number}.jpg", data, "image/jpeg")},
                data={"image_size": size_of(number)},
                headers={"Idempotency-Key": key},
            )
        except httpx.TransportError:
            log.retries += 1
            time.sleep(_PAUSE_S)
            continue
        if answer.status_code in {200, 202}:
            log.sent.append(Sent(answer.json()["job_id"], kind))
            if kind == "cancelled":
                _cancel(api, answer.json()["job_id"])
            return
        if answer.status_code == 429 or answer.status_code >= 500:
            log.retries += 1
            time.sleep(min(float(answer.headers.get("Retry-After", _PAUSE_S)), 5.0))
            continue
        assert kind == "broken", answer.text
        log.refused += 1
        return
    raise AssertionError(f"job {number} was never taken")


def _cancel(api: httpx.Client, job_id: str) -> None:
    try:
        api.post(f"/api/v1/jobs/{job_id}/cancel")
    except httpx.TransportError:
        # nobody was there: then it is a job like the others
        return


def wait_for_all(api: httpx.Client, log: Log, limit_s: float) -> dict[str, dict[str, Any]]:
    """Every job's last status, by id, once all are terminal or the time is over; stderr shows how many."""
    sent, last = {each.job_id for each in log.sent}, dict[str, dict[str, Any]]()
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            last |= {job["job_id"]: job for job in _all_jobs(api) if job["job_id"] in sent}
        except _TRANSPORT:
            time.sleep(_PAUSE_S)
            continue
        ended = sum(JobState(job["state"]) in TERMINAL_STATES for job in last.values())
        sys.stderr.write(f"\r{ended} of {len(sent)} jobs have ended ")
        sys.stderr.flush()
        if ended == len(sent):
            break
        time.sleep(_LOOK_EVERY_S)
    sys.stderr.write("\n")
    return last


def _all_jobs(api: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        answer = api.get("/api/v1/jobs", params=query)
        page = answer.json() if answer.status_code == 200 else {"jobs": []}
        yield from page["jobs"]
        cursor = page.get("cursor")
        if cursor is None:
            return


def ends(statuses: dict[str, dict[str, Any]]) -> Counter[str]:
    """How many jobs ended how, failures by their code."""
    return Counter(
        each["state"] if each["error"] is None else f"{each['state']} {each['error']['code']}"
        for each in statuses.values()
    )
