"""The door: requests at once, pixels at once, nothing while stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpu_container import admission
from gpu_container.admission import Admission
from gpu_container.errors import (
    DeadlineExceededError,
    ServiceBusyError,
    ServiceStartingError,
    ServiceStoppingError,
)
from gpu_container.lane import JobLane
from gpu_container.settings import GpuSettings
from gpu_container.worker import GpuWorker

FOREVER = float("inf")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PIXELS_IN_FLIGHT", 1_000_000)
    monkeypatch.setattr(admission, "SMALL_PIXELS", 100)
    monkeypatch.setattr(admission, "SMALL_IN_FLIGHT", 1_000)
    monkeypatch.setattr(admission, "MAX_RETRY_AFTER_S", 30.0)


@pytest.fixture(scope="module")
def worker(cache: Path) -> Iterator[GpuWorker]:
    settings = GpuSettings(model_cache=cache, queue_s=60.0)
    made = GpuWorker(settings)
    made.start()
    while not made.started:
        time.sleep(0.01)
    yield made
    made.stop(5)


def test_nobody_is_let_in_before_the_models_are_loaded(cache: Path) -> None:
    with pytest.raises(ServiceStartingError):
        Admission(GpuWorker(GpuSettings(model_cache=cache))).check(0)


def test_one_too_many_hears_when_to_come_back(worker: GpuWorker) -> None:
    door = Admission(worker)
    door.check(admission.MOST_WORKS - 1)
    with pytest.raises(ServiceBusyError):
        door.check(admission.MOST_WORKS)


def test_who_would_wait_too_long_hears_when_the_queue_is_shorter(worker: GpuWorker) -> None:
    door = Admission(worker)
    door.check_wait(60.0)
    for wait_s, after_s in ((60.5, 1.0), (75.0, 15.0), (1000.0, 30.0)):
        with pytest.raises(ServiceBusyError) as refused:
            door.check_wait(wait_s)
        assert refused.value.retry_after_s == after_s


def test_pictures_wait_for_the_memory_of_others(worker: GpuWorker) -> None:
    door, entered = Admission(worker), threading.Event()

    def second() -> None:
        with door.memory_for(600_000, JobLane(FOREVER)):
            entered.set()

    with door.memory_for(600_000, JobLane(FOREVER)):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(5)
    thread.join()


def test_a_small_picture_does_not_wait_for_the_memory_of_large_ones(worker: GpuWorker) -> None:
    door, soon = Admission(worker), JobLane(time.monotonic() + 0.2)
    with door.memory_for(1_000_000, JobLane(FOREVER)):
        with door.memory_for(100, soon):
            pass
        with pytest.raises(DeadlineExceededError), door.memory_for(101, soon):
            pass


def test_a_large_picture_is_not_passed_by_those_that_would_fit(worker: GpuWorker) -> None:
    door, order = Admission(worker), list[int]()

    def take(pixels: int) -> None:
        with door.memory_for(pixels, JobLane(FOREVER)):
            order.append(pixels)

    threads = []
    with door.memory_for(600_000, JobLane(FOREVER)):
        for pixels in (900_000, 300_000):
            threads.append(threading.Thread(target=take, args=(pixels,)))
            threads[-1].start()
            while len(door._large.waiting) < len(threads):
                time.sleep(0.01)
    for thread in threads:
        thread.join(10)
    assert order == [900_000, 300_000]


def test_only_so_many_files_are_read_at_once(worker: GpuWorker) -> None:
    door = Admission(worker)
    with ExitStack() as held:
        for _ in range(admission.READERS):
            held.enter_context(door.reading(JobLane(FOREVER)))
        with pytest.raises(DeadlineExceededError), door.reading(JobLane(time.monotonic() + 0.1)):
            pass
    with door.reading(JobLane(time.monotonic() + 0.1)):
        pass


def test_one_picture_alone_is_never_too_large(worker: GpuWorker) -> None:
    with Admission(worker).memory_for(70_000_000, JobLane(FOREVER)):
        pass


def test_waiting_for_memory_ends_with_the_deadline_and_with_the_service(worker: GpuWorker) -> None:
    door = Admission(worker)
    with door.memory_for(1_000_000, JobLane(FOREVER)):
        with pytest.raises(DeadlineExceededError), door.memory_for(101, JobLane(time.monotonic() + 0.1)):
            pass
        door.close()
        with pytest.raises(ServiceStoppingError), door.memory_for(101, JobLane(FOREVER)):
            pass
    with pytest.raises(ServiceStoppingError):
        door.check(0)
