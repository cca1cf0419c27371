"""What the simulator counts: calls and billed pictures by job, kept in a file if one is named."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

_MICRO = 1_000_000


class Bill:
    """Counts calls and billed pictures; safe between threads."""

    def __init__(self, price_usd: float, path: Path | None = None) -> None:
        self._price_micro_usd = round(price_usd * _MICRO)
        self._path = path
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, Any]] = {}
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._jobs = json.loads(path.read_text())

    def call(self, job_id: str) -> None:
        """Count a request."""
        with self._lock:
            job = self._job(job_id)
            job["calls"] += 1
            job["at"].append(round(time.time(), 3))
            self._save()

    def charge(self, job_id: str) -> None:
        """Count a billed picture."""
        with self._lock:
            self._job(job_id)["billed"] += 1
            self._save()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._jobs = {}
            self._save()

    def report(self) -> dict[str, Any]:
        """``{"calls", "billed", "usd", "by_job"}``."""
        with self._lock:
            by_job = {
                job_id: {**job, "at": list(job["at"]), "usd": self._usd(job["billed"])}
                for job_id, job in self._jobs.items()
            }
        billed = sum(job["billed"] for job in by_job.values())
        calls = sum(job["calls"] for job in by_job.values())
        return {"calls": calls, "billed": billed, "usd": self._usd(billed), "by_job": by_job}

    def _usd(self, billed: int) -> float:
        return billed * self._price_micro_usd / _MICRO

    def _job(self, job_id: str) -> dict[str, Any]:
        return self._jobs.setdefault(job_id, {"calls": 0, "billed": 0, "at": []})

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self._jobs))
        temporary.replace(self._path)
