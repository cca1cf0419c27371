"""The works of a replica: those that run, and those that ended while no caller was waiting for them."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from gpu_container.errors import (
    DeadlineExceededError,
    JobCancelledError,
    ServiceStoppingError,
    StageError,
)
from gpu_container.lane import JobLane
from imagery.contracts import GpuReport, Stage

# how long an end is kept for the caller who comes back for it, and how many are
_KEPT_S = 900.0
_MOST_KEPT = 256
# ends that say nothing to a caller who has more time, or wants the picture again
_OF_THAT_CALLER = (DeadlineExceededError, JobCancelledError, ServiceStoppingError)


@dataclass
class StageWork:
    """One piece of work: what it is for, its place at the device, and how it ends.

    ``pixels`` and ``source``: size and digest of what it works on, once they are known.
    """

    stage: Stage
    job_id: str
    target: str
    lane: JobLane
    work_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    future: Future[GpuReport] = field(default_factory=Future)
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0
    pixels: int = 0
    source: str = ""
    _worked_s: float = 0.0

    @property
    def is_wanted(self) -> bool:
        """False for the end of an earlier work that a new caller can't use."""
        return not (self.future.done() and isinstance(self.future.exception(), _OF_THAT_CALLER))

    @property
    def is_measured(self) -> bool:
        """True once it is known how much work it is."""
        return self.stage is Stage.REMBG or self.pixels > 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something is done for it beside the device."""
        started = time.monotonic()
        yield
        self._worked_s += time.monotonic() - started

    def times_ms(self) -> tuple[float, float]:
        """What has been worked for it until now, and what it has waited."""
        passed_s = time.monotonic() - self.began_at
        worked_s = min(passed_s, self._worked_s + self.lane.device_s)
        return round(worked_s * 1000, 1), round((passed_s - worked_s) * 1000, 1)


class WorkBook:
    """Every work by its target. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, StageWork] = {}
        self._ended: OrderedDict[str, StageWork] = OrderedDict()

    def __len__(self) -> int:
        """Works that run."""
        return len(self._running)

    def running(self) -> list[StageWork]:
        """Works that run, in the order in which they came."""
        with self._lock:
            return list(self._running.values())

    def join(self, target: str, deadline: float) -> StageWork | None:
        """The work for ``target``, with time until ``deadline``. Returns None if there is none."""
        with self._lock:
            self._drop_old()
            work = self._running.get(target)
            if work is not None:
                work.lane.extend(deadline)
                return work
            ended = self._ended.get(target)
            return ended if ended is not None and ended.is_wanted else None

    def begin(self, work: StageWork) -> None:
        """A work begins."""
        with self._lock:
            self._ended.pop(work.target, None)
            self._running[work.target] = work

    def end(self, work: StageWork, outcome: GpuReport | Exception) -> None:
        """A work has ended: those who wait hear of it, and its end is kept for who comes back."""
        with self._lock:
            # a cancelled one has made place for its successor already
            if self._running.get(work.target) is work:
                del self._running[work.target]
                work.ended_at = time.monotonic()
                self._ended[work.target] = work
            self._drop_old()
        if isinstance(outcome, Exception):
            work.future.set_exception(outcome)
        else:
            work.future.set_result(outcome)

    def heard(self, work: StageWork) -> None:
        """A caller was told how the work ended: it need not be kept."""
        with self._lock:
            if self._ended.get(work.target) is work:
                del self._ended[work.target]

    def cancel(self, job_id: str) -> int:
        """End every work of a job. Returns how many there were."""
        with self._lock:
            works = [work for work in self._running.values() if work.job_id == job_id]
            for work in works:
                del self._running[work.target]
        error: StageError = JobCancelledError("The job was cancelled.")
        for work in works:
            work.lane.fail(error)
        return len(works)

    def _drop_old(self) -> None:
        oldest = time.monotonic() - _KEPT_S
        while self._ended and (
            len(self._ended) > _MOST_KEPT or next(iter(self._ended.values())).ended_at < oldest
        ):
            self._ended.popitem(last=False)
