"""What the simulator counts: calls and billed pictures by job, model and size, in a file if one is named."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.nano_banana_models import MODELS, SIZES

_MICRO = 1_000_000


class PricesError(ValueError):
    """The prices are malformed; the message says how they are written."""


@dataclass(frozen=True)
class Prices:
    """USD of a picture. ``by_picture``: by model and size class; ``usd``: of all others."""

    usd: float = 0.08
    by_picture: dict[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def of(cls, words: str, usd: float) -> Prices:
        """From ``"model=0.134 model/4K=0.24"``; a size's own price wins. Raises ``PricesError``."""
        whole: dict[tuple[str, str], float] = {}
        single: dict[tuple[str, str], float] = {}
        for word in words.split():
            name, _, price = word.partition("=")
            model, _, size = name.partition("/")
            if model not in MODELS or (size or SIZES[0]) not in SIZES or not _is_price(price):
                raise PricesError(
                    f"{word!r}: write model=USD or model/size=USD; models are {', '.join(MODELS)}, sizes"
                    f" {', '.join(SIZES)}"
                )
            if size:
                single[model, size] = float(price)
            else:
                whole |= {(model, each): float(price) for each in SIZES}
        return cls(usd, whole | single)

    def micro_usd(self, model: str, size: str) -> int:
        """The price of one picture in millionths of a dollar."""
        return round(self.by_picture.get((model, size), self.usd) * _MICRO)


def _is_price(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False


class Bill:
    """Counts calls and billed pictures; safe between threads."""

    def __init__(self, prices: Prices, path: Path | None = None) -> None:
        self._prices = prices
        self._path = path
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, Any]] = {}
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                kept = json.loads(path.read_text())
                self._jobs = {job_id: self._entry(job) for job_id, job in kept.items()}

    def call(self, job_id: str) -> None:
        """Count a request."""
        with self._lock:
            job = self._job(job_id)
            job["calls"] += 1
            job["at"].append(round(time.time(), 3))
            self._save()

    def charge(self, job_id: str, model: str, size: str, labels: dict[str, str]) -> None:
        """Count a billed picture at today's price; ``labels`` are those of Vertex."""
        with self._lock:
            pictures = self._job(job_id)["pictures"].setdefault(model, {})
            count, micro_usd = pictures.get(size, (0, 0))
            pictures[size] = [count + 1, micro_usd + self._prices.micro_usd(model, size)]
            self._job(job_id)["labels"] |= labels
            self._save()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._jobs = {}
            self._save()

    def report(self) -> dict[str, Any]:
        """``{"calls", "billed", "usd", "by_model", "by_job"}``.

        ``by_model`` of all and of each job is ``{model: {size: {"billed", "usd"}}}``.
        """
        with self._lock:
            jobs = json.loads(json.dumps(self._jobs))
        total: dict[str, dict[str, list[int]]] = {}
        by_job = {}
        for job_id, job in jobs.items():
            pictures = job.pop("pictures")
            for model, sizes in pictures.items():
                for size, (count, micro_usd) in sizes.items():
                    known = total.setdefault(model, {}).get(size, (0, 0))
                    total[model][size] = [known[0] + count, known[1] + micro_usd]
            by_job[job_id] = job | _sum(pictures)
        calls = sum(job["calls"] for job in jobs.values())
        return {"calls": calls, **_sum(total), "by_job": by_job}

    def _job(self, job_id: str) -> dict[str, Any]:
        return self._jobs.setdefault(job_id, {"calls": 0, "at": [], "pictures": {}, "labels": {}})

    def _entry(self, kept: dict[str, Any]) -> dict[str, Any]:
        """A job of the file; one of an earlier version counted its pictures without saying which."""
        count = kept.pop("billed", 0)
        micro_usd = count * round(self._prices.usd * _MICRO)
        unnamed = {"unknown": {"unknown": [count, micro_usd]}} if count else {}
        return {"pictures": unnamed, "labels": {}} | kept

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self._jobs))
        temporary.replace(self._path)


def _sum(pictures: dict[str, dict[str, list[int]]]) -> dict[str, Any]:
    """``{"billed", "usd", "by_model"}`` of ``{model: {size: [count, micro USD]}}``."""
    every = [entry for sizes in pictures.values() for entry in sizes.values()]
    return {
        "billed": sum(count for count, _ in every),
        "usd": sum(micro_usd for _, micro_usd in every) / _MICRO,
        "by_model": {
            model: {size: {"billed": count, "usd": micro / _MICRO} for size, (count, micro) in sizes.items()}
            for model, sizes in pictures.items()
        },
    }
