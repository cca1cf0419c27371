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
    monkeypatch.setattr(admission, "MAX_RETRY_AFTER_S", 30.0)


@pytest.fixture(scope="module")
def worker(cache: Path) -> Iterator[GpuWorker]:
    settings = GpuSettings(model_cache=cache, queue_limit=3)
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
    door.check(2)
    with pytest.raises(ServiceBusyError) as refused:
        door.check(3)
    assert refused.value.retry_after_s == 1.0, "nothing is computed: as soon as one likes"


def test_the_time_to_come_back_grows_with_the_queue(worker: GpuWorker) -> None:
    import numpy as np

    worker.upscaler.upscale(np.zeros((256, 256, 3), np.uint8), FOREVER)
    lanes = [JobLane(FOREVER, left=pixels) for pixels in (40_000_000, 80_000_000)]
    for lane in lanes:
        worker.scheduler.enter(lane)
    try:
        with pytest.raises(ServiceBusyError) as refused:
            Admission(worker).check(3)
        assert refused.value.retry_after_s == 30.0, "bounded"
        # so little that it takes no time on any machine
        lanes[0].left = 1_000
        with pytest.raises(ServiceBusyError) as sooner:
            Admission(worker).check(3)
        assert sooner.value.retry_after_s is not None
        assert 1.0 <= sooner.value.retry_after_s < 30.0
    finally:
        for lane in lanes:
            worker.scheduler.leave(lane)


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
        with pytest.raises(DeadlineExceededError), door.memory_for(1, JobLane(time.monotonic() + 0.1)):
            pass
        door.close()
        with pytest.raises(ServiceStoppingError), door.memory_for(1, JobLane(FOREVER)):
            pass
    with pytest.raises(ServiceStoppingError):
        door.check(0)
