"""The jobs that wait for the device, and the next batch of them: fair, full, and within its memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from gpu_container.batch import TileBatch
from gpu_container.engine import DeviceMemory, UpscaleEngine
from gpu_container.errors import DeadlineExceededError, ServiceStoppingError, StageError
from gpu_container.lane import DeviceCall, JobLane, WaitingTile
from gpu_container.turns import Turns

_LEARNING_RATE = 0.2


class TileQueue:
    """What waits. ``use`` and ``look_at_memory`` are for the device's thread, the others for any.

    ``memory``: of the device, as its own thread saw it last: asking the driver may take long while it works.
    """

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self.memory = DeviceMemory(0, 0, None)
        self._looked_at = 0.0
        self._is_new_peak = False
        self._engine: UpscaleEngine | None = None
        self._budget: Callable[[], int] = lambda: 0
        # in the order in which they came
        self._lanes: list[JobLane] = []
        self._turns = Turns()
        self._changed = threading.Condition()
        self._limit = 0
        self._stopping = False
        # measured while working; a guess would be wrong by the factor between devices
        self._s_per_pixel = 0.0
        self._s_per_call = 0.0

    def use(self, engine: UpscaleEngine, budget: Callable[[], int]) -> None:
        """Compute tiles with ``engine``; ``budget()``: most pixels of one batch, from free memory."""
        self._engine, self._budget = engine, budget
        self.look_at_memory()

    def enter(self, lane: JobLane) -> None:
        """Let a job take part."""
        with self._changed:
            if self._stopping:
                raise ServiceStoppingError("The service is stopping.")
            self._is_new_peak = self._is_new_peak or not self._lanes
            self._lanes.append(lane)

    def leave(self, lane: JobLane) -> None:
        """The job is over; what still waits of it is dropped."""
        lane.fail(ServiceStoppingError("The job has left."))
        with self._changed:
            lane.waiting.clear()
            if lane in self._lanes:
                self._lanes.remove(lane)
            if not self._lanes:
                # memory that others had may be free by the next time
                self._limit = 0

    def put(self, lane: JobLane, works: Sequence[WaitingTile]) -> None:
        """Queue tiles of a job that has entered."""
        with self._changed:
            if not lane.over:
                lane.waiting.extend(works)
            self._changed.notify()

    def cancel_all(self, error: StageError) -> None:
        """End every job with ``error`` and admit no new one."""
        with self._changed:
            self._stopping = True
            lanes = list(self._lanes)
            self._changed.notify()
        for lane in lanes:
            lane.fail(error)

    @property
    def jobs(self) -> int:
        """Jobs that take part."""
        return len(self._lanes)

    def learn(self, seconds: float, pixels: int) -> None:
        """The device took ``seconds`` for so many ``pixels``."""
        self._s_per_pixel = learnt(self._s_per_pixel, seconds / pixels)

    def pixels_s(self, pixels: int) -> float:
        """Estimated time of the device for so many pixels, were it alone."""
        return pixels * self._s_per_pixel

    @property
    def call_s(self) -> float:
        """Estimated time of one call."""
        return self._s_per_call

    def look_at_memory(self) -> None:
        """Ask the driver; for the device's thread."""
        if self._engine is None:
            return
        if self._is_new_peak:
            self._is_new_peak = False
            self._engine.reset_peak()
        self.memory = self._engine.memory()
        self._looked_at = time.monotonic()

    def _next(self) -> TileBatch | tuple[JobLane, DeviceCall] | None:
        """What to do next: see ``gpu_container.turns``."""
        ready = [lane for lane in self._lanes if lane.waiting and self._alive(lane)]
        if not ready:
            return None
        left = [self._left(lane) for lane in ready]
        lane = self._turns.next(ready, left)
        first = lane.waiting.popleft()
        if isinstance(first, DeviceCall):
            self._turns.given(lane, ready, self._left(lane))
            return lane, first
        others = sorted((each for each in ready if each is not lane), key=self._left)
        batch = self._fill(lane, first, others)
        self._turns.given(lane, ready, batch.pixels)
        return batch

    def _left(self, lane: JobLane) -> float:
        """Pixels, and calls as if they were pixels."""
        return lane.left or self._s_per_call / (self._s_per_pixel or 1.0)

    @staticmethod
    def _alive(lane: JobLane) -> bool:
        """False, and without waiting tiles, when the job is over or out of time."""
        if time.monotonic() > lane.deadline:
            lane.fail(DeadlineExceededError("The caller's deadline passed while tiles were waiting."))
        if lane.over:
            lane.waiting.clear()
        return not lane.over

    def _fill(self, lane: JobLane, first: WaitingTile, others: list[JobLane]) -> TileBatch:
        """Tiles of the job whose turn it is, then, where there is room, of others."""
        height, width, _ = first.pixels.shape
        batch = TileBatch([(lane, first)], self._planes())
        batch.fill((lane, *others), min(self._max_batch, max(1, self._most_pixels() // (height * width))))
        return batch

    def _planes(self) -> list[tuple[int, int]]:
        """The engine's planes that fit into its memory."""
        planes = self._engine.planes if self._engine else ()
        return [(height, width) for height, width in planes if height * width <= self._most_pixels()]

    def _most_pixels(self) -> int:
        if not self._limit:
            self.look_at_memory()
            self._limit = max(1, self._budget())
        return self._limit

    def _halve(self, batch: TileBatch) -> bool:
        """Put the batch's only tile back as smaller ones; False when it is the smallest already."""
        lane, work = batch.items[0]
        halves = work.halves()
        if not halves:
            return False
        lane.total += len(halves) - 1
        with self._changed:
            lane.waiting.extendleft(reversed(halves))
        return True

    def _put_back(self, batch: TileBatch) -> None:
        with self._changed:
            for lane, work in reversed(batch.items):
                if not lane.over:
                    lane.waiting.appendleft(work)


def learnt(average: float, measured: float) -> float:
    """The new average."""
    return measured if average == 0 else average + _LEARNING_RATE * (measured - average)
