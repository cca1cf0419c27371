"""The thread that owns the device: it fills batches with tiles of all jobs, fairly, within its memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_container import process_memory
from gpu_container.batch import TileBatch
from gpu_container.device_errors import is_out_of_memory
from gpu_container.device_watch import DeviceWatch
from gpu_container.engine import (
    DeviceMemory,
    DeviceMemoryError,
    NotFiniteError,
    RunningBatch,
    UpscaleEngine,
)
from gpu_container.errors import (
    DeadlineExceededError,
    DeviceFailedError,
    OutOfMemoryError,
    ServiceStoppingError,
    StageError,
)
from gpu_container.lane import DeviceCall, JobLane, WaitingTile
from gpu_container.metrics import DeviceMetrics
from gpu_container.turns import Turns
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_IDLE_S = 0.5
RELEASE_AFTER_S = 10.0
_LEARNING_RATE = 0.2
# between two looks at the device's memory while it works
_LOOK_S = 0.5
LOST = "The device has failed; the replica starts again, and the picture goes on there."


@dataclass(frozen=True)
class Flight:
    """A batch at the device. ``pixels``: what the device computes; ``started``: time.monotonic() seconds."""

    batch: TileBatch
    running: RunningBatch
    started: float
    pixels: int


class Scheduler:
    """Owns the device. ``use``, ``look_at_memory`` and ``run`` are for its thread, the others for any.

    ``memory``: of the device, as its own thread saw it last: asking the driver may take long while it works.
    """

    def __init__(self, max_batch: int, watch: DeviceWatch | None = None) -> None:
        self._max_batch = max_batch
        self._watch = watch or DeviceWatch()
        self._watch.on_lost(lambda: self.cancel_all(ServiceStoppingError(LOST)))
        self.memory = DeviceMemory(0, 0, None)
        self.metrics = DeviceMetrics()
        self._looked_at = 0.0
        self._is_new_peak = False
        self._engine: UpscaleEngine | None = None
        self._budget: Callable[[], int] = lambda: 0
        # in the order in which they came
        self._lanes: list[JobLane] = []
        self._turns = Turns()
        self._changed = threading.Condition()
        self._flights: deque[Flight] = deque()
        self._limit = 0
        self._stopping = False
        self._busy = False
        # measured while working; a guess would be wrong by the factor between devices
        self._s_per_pixel = 0.0
        self._s_per_call = 0.0
        self._ended_at = 0.0
        self._is_clean = True
        self._idle_since = 0.0
        self.batches = 0
        self.largest_batch = 0
        self.tiles = 0

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

    def call(self, run: Callable[[], Any], lane: JobLane) -> Any:
        """Run something on the device's thread and wait for it.

        Raises what it raises, ``OutOfMemoryError``, ``ServiceStoppingError`` when the device is lost, and
        what ended the ``lane``.
        """
        answer: list[Any] = []

        def work() -> None:
            try:
                answer.append(self._tried(run))
            except Exception as error:
                answer.append(error)

        self.enter(lane)
        try:
            with self._changed:
                lane.waiting.append(DeviceCall(work))
                self._changed.notify()
            lane.wait(lambda: bool(answer))
        finally:
            self.leave(lane)
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def cancel_all(self, error: StageError) -> None:
        """End every job with ``error`` and admit no new one."""
        with self._changed:
            self._stopping = True
            lanes = list(self._lanes)
            self._changed.notify()
        for lane in lanes:
            lane.fail(error)

    @property
    def busy(self) -> bool:
        """True while the device computes."""
        return self._busy

    @property
    def jobs(self) -> int:
        """Jobs that take part."""
        return len(self._lanes)

    def learn(self, seconds: float, pixels: int) -> None:
        """The device took ``seconds`` for so many ``pixels``."""
        self._s_per_pixel = _learnt(self._s_per_pixel, seconds / pixels)

    def pixels_s(self, pixels: int) -> float:
        """Estimated time of the device for so many pixels, were it alone."""
        return pixels * self._s_per_pixel

    @property
    def call_s(self) -> float:
        """Estimated time of one call."""
        return self._s_per_call

    def run(self) -> None:
        """The device's thread: work until ``cancel_all``."""
        while not (self._stopping and not self._flights):
            try:
                self._turn()
            except Exception as error:
                # a fault of ours: the jobs of this moment are lost, the service is not
                _log.error("device_thread_failed", exc_info=error)
                self._flights.clear()
                if not self._watch.check(error):
                    for lane in list(self._lanes):
                        lane.fail(DeviceFailedError("The device's thread failed."))

    def _turn(self) -> None:
        with self._changed:
            item = self._next()
            self._busy = item is not None or bool(self._flights)
            if not self._busy and not self._stopping:
                self._changed.wait(_IDLE_S)
        if not self._busy:
            self._rest()
            return
        self._is_clean, self._idle_since = False, 0.0
        if time.monotonic() - self._looked_at >= _LOOK_S:
            self.look_at_memory()
        if isinstance(item, TileBatch):
            self._start(item)
        elif item is not None:
            self._run_call(*item)
        room = self._engine.max_in_flight if self._engine else 1
        if self._flights and (item is None or len(self._flights) >= room):
            self._finish()

    def _rest(self) -> None:
        """Give memory back once nobody has been here for a while: the next job takes it again in a moment."""
        now = time.monotonic()
        if self._lanes or self._is_clean:
            return
        self._idle_since = self._idle_since or now
        if now - self._idle_since >= RELEASE_AFTER_S:
            self._is_clean = True
            if self._engine:
                self._engine.release()
                self.look_at_memory()
            process_memory.give_back()

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

    def _start(self, batch: TileBatch) -> None:
        engine = self._engine
        if engine is None:
            raise RuntimeError("tiles before an engine")
        if len(batch.items) == 1 and batch.pixels > self._most_pixels() and self._halve(batch):
            return
        batch.items = [(lane, work) for lane, work in batch.items if not lane.over]
        if not batch.items:
            return
        started, pixels = time.monotonic(), batch.computed_pixels
        try:
            with self._watch.step(self._in_flight_s() + self.pixels_s(pixels)):
                running = engine.start(batch.drawn())
        except Exception as error:
            self._failed(batch, error)
            return
        self.batches += 1
        self.largest_batch = max(self.largest_batch, len(batch.items))
        self._flights.append(Flight(batch, running, started, pixels))

    def _finish(self) -> None:
        expected_s = self._in_flight_s()
        flight = self._flights.popleft()
        batch = flight.batch
        try:
            with self._watch.step(expected_s):
                results = flight.running.result()
        except Exception as error:
            self._failed(batch, error)
            return
        # what was started behind another batch began when that one ended
        now = time.monotonic()
        taken_s = now - max(flight.started, self._ended_at)
        self._ended_at = now
        self.learn(taken_s, flight.pixels)
        self.metrics.batch(len(batch.items), batch.pixels, taken_s)
        for (lane, work), result in zip(batch.items, batch.cut(results), strict=True):
            with lane.changed:
                lane.device_s += taken_s / len(batch.items)
                self.tiles += 1
                if not lane.over:
                    work.deliver(result)
                    lane.computed += 1
                    lane.left = max(0, lane.left - work.pixels.shape[0] * work.pixels.shape[1])
                    lane.changed.notify_all()

    def _run_call(self, lane: JobLane, call: DeviceCall) -> None:
        started = time.monotonic()
        with self._watch.step(self._in_flight_s() + self._s_per_call):
            call.run()
        taken_s = time.monotonic() - started
        lane.device_s += taken_s
        self._s_per_call = _learnt(self._s_per_call, taken_s)
        self.metrics.call_seconds.observe(taken_s)
        with lane.changed:
            lane.changed.notify_all()

    def _in_flight_s(self) -> float:
        return sum(self.pixels_s(flight.pixels) for flight in self._flights)

    def _tried(self, run: Callable[[], Any]) -> Any:
        """What a call returns: twice when memory runs out, with all of it the second time."""
        try:
            return run()
        except Exception as error:
            if not is_out_of_memory(error):
                self._still_there(error)
                raise
            _log.warning("device_out_of_memory", error=str(error))
            self.metrics.out_of_memory.inc()
        self._make_room()
        try:
            return run()
        except Exception as error:
            self._still_there(error)
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError("The network does not fit into the device's memory.") from error

    def _still_there(self, error: Exception) -> None:
        """Raises ``ServiceStoppingError`` when the device is lost."""
        if self._watch.check(error):
            raise ServiceStoppingError(LOST) from error

    def _make_room(self) -> None:
        """Give back what batches have cached, and let the next ones be half as large."""
        while self._flights:
            self._finish()
        if self._engine:
            self._engine.release()
            self._limit = max(1, self._most_pixels() // 2)

    def _failed(self, batch: TileBatch, error: Exception) -> None:
        """Halve the batch, then the tile, when memory ran out; find the one to blame for anything else."""
        if self._watch.lost is not None:
            return
        if isinstance(error, DeviceMemoryError):
            _log.warning("device_out_of_memory", tiles=len(batch.items), batch_pixels=batch.pixels)
            self.metrics.out_of_memory.inc()
            if self._engine and not self._flights:
                self._engine.release()
            if len(batch.items) > 1:
                self._limit = batch.computed_pixels // 2
                self._put_back(batch)
            elif self._halve(batch):
                # the tiles behind it are not tried in a size that just failed
                self._limit = min(self._most_pixels(), batch.pixels - 1)
            elif not self._watch.check(error):
                height, width, _ = batch.items[0][1].pixels.shape
                message = f"Not even a tile of {width}x{height} px fits into the device's memory."
                batch.items[0][0].fail(OutOfMemoryError(message))
            return
        if not isinstance(error, NotFiniteError) and self._watch.check(error):
            # the jobs have been ended already, each with the time to go on elsewhere
            return
        if len(batch.items) > 1:
            for item in batch.items:
                self._start(TileBatch([item], batch.planes))
                if self._flights:
                    self._finish()
            return
        lane, _ = batch.items[0]
        _log.error("device_failed", exc_info=error)
        reason = str(error) if isinstance(error, NotFiniteError) else type(error).__name__
        lane.fail(DeviceFailedError(f"The network failed on this picture: {reason}."))

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


def _learnt(average: float, measured: float) -> float:
    return measured if average == 0 else average + _LEARNING_RATE * (measured - average)
