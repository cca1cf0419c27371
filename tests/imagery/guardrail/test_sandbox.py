"""Worker processes: bounded in time and memory, replaced when they die, and without secrets."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import ExifTags, Image

from drills.hostile.inputs import flat, scans
from imagery.contracts import JobOptions
from imagery.guardrail import sandbox
from imagery.guardrail.examine import Guardrail, NoThumbnailError
from imagery.guardrail.sandbox import SandboxBusyError, SandboxUnavailableError, SandboxWorker
from testbed.pictures import encoded
from testbed.stack import PHOTO, ROOT
from tests.imagery.guardrail.conftest import Make

# each test starts processes that load the classifier
pytestmark = pytest.mark.slow


def code_of(guardrail: Guardrail, data: bytes) -> str | None:
    return guardrail.examine(data, None, JobOptions()).report.code


LARGE = "max_megapixels=200 max_output_megapixels=4000 max_side_px=20000"


@cache
def large_png() -> bytes:
    """12 MP of real pixels: some hundred milliseconds of work, and 50 MB once decoded."""
    return encoded("PNG", size=(4000, 3000), compress_level=1)


def test_a_picture_that_takes_too_long_is_rejected_and_its_worker_killed(make: Make) -> None:
    quick = make(GUARDRAIL_SANDBOX="timeout_s=0.05")
    report = quick.examine(large_png(), None, JobOptions()).report
    assert report.code == "decoding_too_slow"
    assert quick.sandbox.pids == []
    assert [check.name for check in report.checks if check.passed is None]


def test_a_picture_that_needs_too_much_memory_is_rejected(make: Make) -> None:
    small = make(GUARDRAIL_SANDBOX="memory_mb=400", PICTURE_LIMITS=LARGE)
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((9000, 7000)).save(buffer, "PNG", compress_level=1)
    data = buffer.getvalue()
    huge = make(
        GUARDRAIL_SANDBOX="memory_mb=400",
        MAX_UPLOAD_BYTES=str(10**9),
        PICTURE_LIMITS=LARGE,
    )
    assert code_of(huge, data) == "decoding_needs_too_much_memory"
    assert code_of(small, encoded()) is None, "the next picture gets a worker again"


def test_a_worker_that_died_is_replaced_unnoticed(make: Make) -> None:
    guardrail = make()
    assert code_of(guardrail, encoded()) is None
    (first,) = guardrail.sandbox.pids
    os.kill(first, signal.SIGKILL)
    psutil.Process(first).wait(5)
    assert code_of(guardrail, encoded()) is None
    (second,) = guardrail.sandbox.pids
    assert second != first


def test_a_file_that_ends_every_worker_is_rejected(make: Make) -> None:
    guardrail = make(GUARDRAIL_SANDBOX="timeout_s=60")
    stop = threading.Event()

    def kill_workers() -> None:
        while not stop.is_set():
            for child in psutil.Process().children():
                if _has_an_order(child):
                    child.kill()
            time.sleep(0.005)

    # stands for a decoder that crashes: the process is gone in the middle of the work
    killer = threading.Thread(target=kill_workers)
    killer.start()
    try:
        code = code_of(guardrail, large_png())
    finally:
        stop.set()
        killer.join()
    assert code == "decoder_crashed"
    assert code_of(guardrail, encoded()) is None


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("guardrail.worker" in part for part in process.cmdline())
    except psutil.Error:
        return False


def _has_an_order(process: psutil.Process) -> bool:
    """A worker limits its memory when its first order begins."""
    try:
        is_worker = any("guardrail.worker" in part for part in process.cmdline())
        return is_worker and process.rlimit(psutil.RLIMIT_AS)[0] != psutil.RLIM_INFINITY
    except psutil.Error:
        return False


def test_a_worker_is_used_again_until_its_successor_is_ready(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a process to start because another has done its number of pictures."""
    monkeypatch.setattr(sandbox, "PICTURES_PER_WORKER", 3)
    guardrail = make()
    started: list[None] = []
    may_start = threading.Event()
    start = guardrail.sandbox._start

    def slowly() -> SandboxWorker:
        started.append(None)
        if len(started) > 1:
            may_start.wait(30)
        return start()

    monkeypatch.setattr(guardrail.sandbox, "_start", slowly)
    seen = []
    for _ in range(4):
        assert code_of(guardrail, encoded()) is None
        seen.append(tuple(guardrail.sandbox.pids))
    assert set(seen) == {seen[0]}
    may_start.set()
    until = time.monotonic() + 30
    while psutil.pid_exists(seen[0][0]) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(guardrail.sandbox.pids) == 1
    assert guardrail.sandbox.pids != list(seen[0])
    assert code_of(guardrail, encoded()) is None
    assert len(started) == 2


def test_a_worker_whose_successor_never_comes_is_ended_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "PICTURES_PER_WORKER", 2)
    guardrail = make()
    start = guardrail.sandbox._start
    first: list[None] = []

    def once() -> SandboxWorker:
        if first:
            raise SandboxUnavailableError("no more")
        first.append(None)
        return start()

    monkeypatch.setattr(guardrail.sandbox, "_start", once)
    for _ in range(4):
        assert code_of(guardrail, encoded()) is None
    assert guardrail.sandbox.pids == []


def test_no_more_workers_than_allowed_and_a_bounded_wait(make: Make) -> None:
    guardrail = make(GUARDRAIL_SANDBOX="workers=1 queue_s=0.05")
    data, failures = large_png(), []

    def work() -> None:
        try:
            guardrail.examine(data, None, JobOptions())
        except SandboxBusyError as error:
            failures.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(failures) <= 3
    assert set(failures) == {"guardrail_busy"}
    assert len(guardrail.sandbox.pids) == 1


def test_a_worker_sees_no_secret_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANO_BANANA_API_KEY", "very secret")
    worker = SandboxWorker()
    try:
        worker.wait_ready()
        # its environment can be read until its walls are up
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    finally:
        worker.end()
    assert b"very secret" not in environment
    assert b"PYTHONPATH" in environment


def test_workers_end_with_their_host(make: Make) -> None:
    guardrail = make()
    assert code_of(guardrail, encoded()) is None
    (pid,) = guardrail.sandbox.pids
    guardrail.close()
    assert not psutil.pid_exists(pid)


def test_a_worker_loads_nothing_that_reaches_a_database_or_the_network() -> None:
    """Each new process pays for what it loads, and a decoder that was taken over could use it."""
    script = (
        "import sys, imagery.guardrail.worker; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert "PIL" in loaded
    assert not set(loaded) & {
        "sqlalchemy",
        "sqlmodel",
        "httpx",
        "azure",
        "fastapi",
        "starlette",
        "opentelemetry",
    }


def test_workers_end_when_their_host_is_killed() -> None:
    script = (
        "import sys, time; from imagery.guardrail.examine import Guardrail; "
        "from imagery.settings import Settings; from imagery.contracts import JobOptions; "
        "g = Guardrail(Settings()); "
        "g.examine(open(sys.argv[1], 'rb').read(), None, JobOptions()); "
        "print(g.sandbox.pids[0], flush=True); time.sleep(60)"
    )
    host = subprocess.Popen([sys.executable, "-c", script, str(PHOTO)], stdout=subprocess.PIPE, cwd=ROOT)
    assert host.stdout is not None
    with host.stdout:
        # log lines stand before it
        worker = psutil.Process(int(next(line for line in host.stdout if line.strip().isdigit())))
    host.kill()
    host.wait(5)
    worker.wait(5)
    assert not worker.is_running()


def test_files_beyond_the_queue_are_told_to_come_later_at_once(make: Make) -> None:
    guardrail = make(GUARDRAIL_SANDBOX="workers=1 queue=1 queue_s=60")
    data, codes, started = large_png(), [], threading.Barrier(5)

    def work() -> None:
        started.wait()
        try:
            codes.append(code_of(guardrail, data))
        except SandboxBusyError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(None) == 2
    assert codes.count("guardrail_busy") == 3


def test_a_worker_that_is_killed_disturbs_no_other_request(make: Make) -> None:
    guardrail = make(GUARDRAIL_SANDBOX="workers=2 timeout_s=6")
    slow, codes = scans(20_000_000), []
    killed = threading.Thread(target=lambda: codes.append(code_of(guardrail, slow)))
    killed.start()
    beside = []
    while killed.is_alive():
        started = time.monotonic()
        assert code_of(guardrail, encoded()) is None
        beside.append(time.monotonic() - started)
    killed.join()
    assert codes == ["decoding_too_slow"]
    assert len(beside) > 1
    assert sorted(beside)[len(beside) // 2] < 5.0, "the others did not wait for it"
    assert len(guardrail.sandbox.pids) == 1


def test_a_thumbnail_of_an_upload_gets_no_more_than_its_examination(make: Make) -> None:
    guardrail = make()
    with pytest.raises(NoThumbnailError):
        guardrail.thumbnail_of_upload(flat(8192, 8192), 32)
    with Image.open(io.BytesIO(guardrail.thumbnail_of_upload(encoded("JPEG"), 32))) as image:
        assert image.size == (32, 24)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_thumbnail_stands_upright(make: Make, kind: str) -> None:
    exif = Image.Exif()
    # as a phone that is held upright writes it: to be turned clockwise
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.new("RGB", (400, 200), "white")
    lying.paste("black", (0, 0, 200, 200))
    buffer = io.BytesIO()
    lying.save(buffer, kind, exif=exif)
    with Image.open(io.BytesIO(make().thumbnail(buffer.getvalue(), 100))) as small:
        assert small.size == (100, 200)
        rows = np.asarray(small.convert("L"))[:, 50]
        assert rows[20] < 40 and rows[180] > 215


def test_thumbnails_are_made_of_pictures_only(make: Make) -> None:
    guardrail = make()
    thumbnail = guardrail.thumbnail(encoded("JPEG", size=(400, 200)), 100)
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.size, image.format) == ((100, 50), "WEBP")
    with pytest.raises(NoThumbnailError):
        guardrail.thumbnail(b"<html>", 100)
    small = make(PICTURE_LIMITS="max_megapixels=0.01 max_output_megapixels=0.01")
    with pytest.raises(NoThumbnailError):
        small.thumbnail(encoded("PNG", size=(400, 200)), 100)
