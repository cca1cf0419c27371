"""The scheduler: batches of several jobs, turns, deadlines, cancellation, estimates."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from gpu_container import scheduler as scheduler_module
from gpu_container.engine import DeviceMemory
from gpu_container.errors import DeadlineExceededError, ServiceStoppingError, StageError
from gpu_container.lane import JobLane
from gpu_container.scheduler import Scheduler

FOREVER = math.inf
SIDE = 8


@dataclass
class Echo:
    """A device that takes ``takes_s`` a batch and answers each tile with itself, four times as large."""

    takes_s: float = 0.0
    name: str = "echo"
    device: str = "cpu"
    precision: str = "fp32"
    tile_step: int = 1
    max_in_flight: int = 2
    useful_pixels: int = 10**9
    planes: tuple[tuple[int, int], ...] = ()
    batches: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    released: int = 0

    def start(self, batch: np.ndarray) -> Answer:
        self.gate.wait(10)
        self.batches.append([int(tile.flat[0]) for tile in batch])
        return Answer(batch, self.takes_s)

    def release(self) -> None:
        self.released += 1

    def memory(self) -> DeviceMemory:
        return DeviceMemory(0, 0, None)

    def reset_peak(self) -> None: ...


@dataclass
class Answer:
    batch: np.ndarray
    takes_s: float

    def result(self) -> np.ndarray:
        time.sleep(self.takes_s)
        return self.batch.repeat(4, axis=1).repeat(4, axis=2)


@dataclass
class Tile:
    """A tile all of one number."""

    number: int
    side: int = SIDE
    answer: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        return np.full((self.side, self.side, 3), self.number, np.uint8)

    def deliver(self, result: np.ndarray) -> None:
        self.answer = result.copy()

    def halves(self) -> list[Tile]:
        return []


def job(scheduler: Scheduler, tiles: list[Tile], deadline: float = FOREVER) -> JobLane:
    lane = JobLane(deadline, left=sum(tile.side**2 for tile in tiles))
    scheduler.enter(lane)
    scheduler.put(lane, tiles)
    return lane


def finished(tiles: list[Tile]) -> bool:
    return all(tile.answer is not None for tile in tiles)


@pytest.fixture
def device() -> Echo:
    return Echo()


@pytest.fixture
def scheduler(device: Echo) -> Iterator[Scheduler]:
    made = Scheduler(max_batch=4)
    made.use(device, lambda: device.useful_pixels)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    device.gate.set()
    made.cancel_all(ServiceStoppingError("the test is over"))
    thread.join(5)
    assert not thread.is_alive()


def test_the_first_and_the_soonest_done_take_turns_and_others_fill_what_is_left(
    scheduler: Scheduler, device: Echo
) -> None:
    first = [Tile(0)]
    blocked = job(scheduler, first)
    while not device.batches and scheduler.jobs and not scheduler.busy:
        time.sleep(0.001)
    many = [Tile(1) for _ in range(6)]
    others = [[Tile(2)], [Tile(3)]]
    lanes = [job(scheduler, tiles) for tiles in (many, *others)]
    device.gate.set()
    for lane, tiles in zip([blocked, *lanes], [first, many, *others], strict=True):
        lane.wait(partial(finished, tiles))
    assert device.batches[0] == [0]
    assert device.batches[1:3] == [[1, 1, 1, 1], [2, 3, 1, 1]]


def test_every_job_gets_its_own_pixels(scheduler: Scheduler, device: Echo) -> None:
    device.gate.set()
    jobs = {number: [Tile(number) for _ in range(5)] for number in range(1, 30)}
    lanes = {number: job(scheduler, tiles) for number, tiles in jobs.items()}
    for number, lane in lanes.items():
        lane.wait(partial(finished, jobs[number]))
    for number, tiles in jobs.items():
        assert all(np.all(tile.answer == number) for tile in tiles)


def test_tiles_of_different_shapes_are_not_mixed(scheduler: Scheduler, device: Echo) -> None:
    device.gate.set()
    tiles = [Tile(1), Tile(2, side=6), Tile(3)]
    job(scheduler, tiles).wait(lambda: finished(tiles))
    assert all(tile.answer is not None and tile.answer.shape[0] == tile.side * 4 for tile in tiles)


def test_a_small_job_does_not_wait_for_a_large_one(scheduler: Scheduler, device: Echo) -> None:
    device.takes_s = 0.005
    device.gate.set()
    large, small = [Tile(1) for _ in range(400)], [Tile(2) for _ in range(4)]
    lane = job(scheduler, large)
    job(scheduler, small).wait(lambda: finished(small))
    assert not finished(large)
    scheduler.leave(lane)


def test_a_deadline_removes_the_tiles_of_its_job_only(scheduler: Scheduler, device: Echo) -> None:
    late, other = [Tile(1) for _ in range(50)], [Tile(2) for _ in range(3)]
    lane = job(scheduler, late, deadline=time.monotonic() + 0.05)
    fine = job(scheduler, other)
    with pytest.raises(DeadlineExceededError):
        lane.wait(lambda: finished(late))
    device.gate.set()
    fine.wait(lambda: finished(other))
    scheduler.leave(lane)
    assert not lane.waiting
    assert sum(batch.count(1) for batch in device.batches) <= 8, "only what had been started"


def test_a_job_that_leaves_takes_its_tiles_along(scheduler: Scheduler, device: Echo) -> None:
    gone, other = [Tile(1) for _ in range(50)], [Tile(2) for _ in range(3)]
    scheduler.leave(job(scheduler, gone))
    device.gate.set()
    job(scheduler, other).wait(lambda: finished(other))
    assert sum(batch.count(1) for batch in device.batches) <= 8


def test_stopping_ends_everybody_with_the_reason(scheduler: Scheduler, device: Echo) -> None:
    tiles = [Tile(1) for _ in range(50)]
    lane = job(scheduler, tiles)
    scheduler.cancel_all(ServiceStoppingError("handed back"))
    with pytest.raises(ServiceStoppingError, match="handed back"):
        lane.wait(lambda: finished(tiles))
    with pytest.raises(ServiceStoppingError):
        scheduler.enter(JobLane(FOREVER))


def test_other_work_takes_its_turn_on_the_devices_thread(scheduler: Scheduler, device: Echo) -> None:
    device.gate.set()
    assert scheduler.call(threading.current_thread, JobLane(FOREVER)) is not threading.current_thread()

    def fail() -> None:
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        scheduler.call(fail, JobLane(FOREVER))


def test_a_job_that_breaks_the_devices_thread_breaks_no_later_one(scheduler: Scheduler, device: Echo) -> None:
    class Broken(Tile):
        def deliver(self, result: np.ndarray) -> None:
            raise RuntimeError("a fault of ours")

    device.gate.set()
    with pytest.raises(StageError, match="thread failed"):
        job(scheduler, [Broken(1)]).wait(lambda: False)
    tiles = [Tile(2)]
    job(scheduler, tiles).wait(lambda: finished(tiles))


def test_the_estimate_follows_what_was_measured(scheduler: Scheduler, device: Echo) -> None:
    device.takes_s = 0.02
    device.max_in_flight = 1
    device.gate.set()
    assert scheduler.pixels_s(1000) == 0.0
    warm_up = [Tile(1) for _ in range(40)]
    lane = job(scheduler, warm_up)
    lane.wait(lambda: finished(warm_up))
    # 4 tiles a batch, 20 ms a batch at least
    assert scheduler.pixels_s(40 * SIDE**2) >= 0.19
    assert lane.device_s >= 0.19
    scheduler.leave(lane)


def test_memory_is_given_back_once_when_nobody_has_come_for_a_while(
    scheduler: Scheduler, device: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "RELEASE_AFTER_S", 0.05)
    monkeypatch.setattr(scheduler_module, "_IDLE_S", 0.01)
    device.gate.set()
    tiles = [Tile(1)]
    lane = job(scheduler, tiles)
    lane.wait(lambda: finished(tiles))
    time.sleep(0.3)
    assert device.released == 0, "a job that is still here will want it again"
    for round_number in (1, 2):
        scheduler.leave(lane)
        until = time.monotonic() + 10
        while device.released < round_number and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        assert device.released == round_number
        tiles = [Tile(1)]
        lane = job(scheduler, tiles)
        lane.wait(partial(finished, tiles))


def test_the_device_works_for_whom_it_counts(scheduler: Scheduler, device: Echo) -> None:
    device.takes_s = 0.01
    device.gate.set()
    one, other = [Tile(1) for _ in range(8)], [Tile(2) for _ in range(8)]
    lanes = [job(scheduler, one), job(scheduler, other)]
    for lane, tiles in zip(lanes, (one, other), strict=True):
        lane.wait(partial(finished, tiles))
    assert [lane.device_s > 0.019 for lane in lanes] == [True, True]
