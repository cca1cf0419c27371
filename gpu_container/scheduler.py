"""The thread that owns the device: it computes batches with tiles of all jobs, one behind the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpu_container import process_memory
from gpu_container.batch import TileBatch
from gpu_container.device_errors import is_out_of_memory
from gpu_container.device_watch import DeviceWatch
from gpu_container.engine import (
    DeviceMemoryError,
    NotFiniteError,
    RunningBatch,
)
from gpu_container.errors import (
    DeviceFailedError,
    OutOfMemoryError,
    ServiceStoppingError,
)
from gpu_container.lane import DeviceCall, JobLane
from gpu_container.metrics import DeviceMetrics
from gpu_container.tile_queue import TileQueue, learnt
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_IDLE_S = 0.5
RELEASE_AFTER_S = 10.0
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


class Scheduler(TileQueue):
    """Owns the device. ``use``, ``look_at_memory`` and ``run`` are for its thread, the others for any."""

    def __init__(self, max_batch: int, watch: DeviceWatch | None = None) -> None:
        super().__init__(max_batch)
        self._watch = watch or DeviceWatch()
        self._watch.on_lost(lambda: self.cancel_all(ServiceStoppingError(LOST)))
        self.metrics = DeviceMetrics()
        self._flights: deque[Flight] = deque()
        self._busy = False
        self._ended_at = 0.0
        self._is_clean = True
        self._idle_since = 0.0
        self.batches = 0
        self.largest_batch = 0
        self.tiles = 0

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

    @property
    def busy(self) -> bool:
        """True while the device computes."""
        return self._busy

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
        self._s_per_call = learnt(self._s_per_call, taken_s)
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
