"""Worker processes that decode untrusted pictures, killed when they exceed their time or memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket, socketpair
from typing import Any

from imagery.guardrail import kernel, rlimits, wire
from imagery.guardrail.turns import NoTurnError, Turn, Turns
from imagery.guardrail.walls import Walls
from imagery.settings import Settings, harmless_environment
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_WORKER = "imagery.guardrail.worker"
_START_LIMIT_S = 60.0
_END_LIMIT_S = 5.0
_ATTEMPTS = 2
# after so many pictures a process is replaced, once its successor is ready, and at the latest after twice as
# many: starting one takes seconds, in which a caller would wait
PICTURES_PER_WORKER = 200
_BUSY = "All workers of the guardrail are busy. Try again in a moment."
_OUT_OF_MEMORY = "out_of_memory"
_RAISED = "raised"


class SandboxError(Exception):
    """Base of what the sandbox reports. ``code`` is stable."""

    code = "sandbox_error"


class SandboxBusyError(SandboxError):
    """No worker became free in time; a later attempt may succeed."""

    code = "guardrail_busy"


class SandboxUnavailableError(SandboxError):
    """Workers can't be started on this machine now."""

    code = "guardrail_unavailable"


class SandboxTimeoutError(SandboxError):
    """The file kept its worker busy beyond the limit; the worker was killed."""

    code = "decoding_too_slow"


class SandboxMemoryError(SandboxError):
    """Decoding the file needs more memory than a worker may have."""

    code = "decoding_needs_too_much_memory"


class SandboxCrashedError(SandboxError):
    """The file crashed two workers in a row, or made one raise an unexpected error."""

    code = "decoder_crashed"


class SandboxWorker:
    """One process and the socket to it. ``walls``: what it says of them before it reads its first file."""

    def __init__(self) -> None:
        ours, theirs = socketpair()
        command = [sys.executable, "-m", _WORKER, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=harmless_environment() | _python_environment(),
                start_new_session=True,
            )
        self._connection: socket = ours
        self.walls: Walls | None = None
        self.done = 0
        self.usable = True
        self.has_successor = self.is_replaced = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until it takes orders. Raises ``TimeoutError``, ``wire.WireError``."""
        wire.receive(self._connection, time.monotonic() + _START_LIMIT_S)

    def call(
        self, order: dict[str, Any], data: bytes, timeout_s: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Do one order. Raises ``TimeoutError``, ``wire.WireError`` when the process died."""
        until = time.monotonic() + timeout_s
        self.usable = False
        self.done += 1
        if self.walls is not None and self.walls.seccomp:
            self._limit(order["memory_mb"], timeout_s)
        wire.send(self._connection, order | {"timeout_s": timeout_s}, data, until=until)
        if self.walls is None:
            self.walls = _walls_of(wire.receive(self._connection, until)[0])
        answer, blobs = wire.receive(self._connection, until)
        # after an error or without memory, a decoder may have left its state half changed
        self.usable = answer.get("error") not in {_OUT_OF_MEMORY, _RAISED}
        return answer, blobs

    def _limit(self, memory_mb: int, timeout_s: float) -> None:
        """Set the order's limits, which a process behind its filter can't change itself."""
        try:
            rlimits.limit_order_of(self.pid, memory_mb, timeout_s)
        except OSError as error:
            raise wire.WireError(f"the process takes no limits: {error}") from error

    def end(self) -> int | None:
        """Kill the process. Returns its exit code, or None if it did not end in time."""
        self._connection.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_END_LIMIT_S)
        return None


class Sandbox:
    """Worker processes, started when first needed and used again, the warmest first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = Turns(settings.guardrail.sandbox.workers, settings.guardrail.sandbox.queue)
        self._idle: list[SandboxWorker] = []
        self._walls: Walls | None = None
        # this process has the secrets that its workers must not read
        self._is_hidden = kernel.hide_memory()
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that wait for work."""
        with self._lock:
            return [worker.pid for worker in self._idle]

    def call(
        self, order: dict[str, Any], data: bytes, memory_mb: int, turn: Turn
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Do ``order`` on ``data`` in a worker when it is the file's turn. Raises ``SandboxError``."""
        try:
            with self._turns.take(turn, len(data), self._settings.guardrail.sandbox.queue_s):
                return self._attempt(order | {"memory_mb": memory_mb}, data)
        except NoTurnError:
            raise SandboxBusyError(_BUSY) from None

    def _attempt(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
        for attempt in range(_ATTEMPTS):
            # a second attempt gets a new worker
            with self._worker(fresh=attempt > 0) as worker:
                try:
                    answer, blobs = worker.call(order, data, self._settings.guardrail.sandbox.timeout_s)
                except TimeoutError as error:
                    limit = self._settings.guardrail.sandbox.timeout_s
                    raise SandboxTimeoutError(f"Decoding the file takes longer than {limit:g} s.") from error
                except wire.WireError:
                    _log.warning("guardrail_worker_died", pid=worker.pid, order=order["order"])
                    continue
            self._tell_of_walls(worker.walls)
            if answer.get("error") == _OUT_OF_MEMORY:
                limit_mb = order["memory_mb"]
                raise SandboxMemoryError(f"Decoding the file needs more than a worker's {limit_mb} MB.")
            if answer.get("error") == _RAISED:
                _log.error("guardrail_worker_raised", order=order["order"], told=answer.get("traceback"))
                break
            return answer, blobs
        raise SandboxCrashedError("The file crashes the decoder: it is damaged, or made to do harm.")

    def _tell_of_walls(self, walls: Walls | None) -> None:
        """Log once what holds the workers, and again when it changes."""
        if walls is None or walls == self._walls:
            return
        self._walls = walls
        log = _log.info if walls.seccomp else _log.warning
        log("guardrail_walls", **walls.to_json(), host_hidden=self._is_hidden)

    @contextmanager
    def _worker(self, *, fresh: bool) -> Iterator[SandboxWorker]:
        with self._lock:
            worker = self._idle.pop() if self._idle and not fresh else None
        worker = worker or self._start()
        try:
            yield worker
        finally:
            self._put_back(worker)

    def _put_back(self, worker: SandboxWorker) -> None:
        with self._lock:
            is_kept = worker.usable and not worker.is_replaced and worker.done < 2 * PICTURES_PER_WORKER
            if is_kept:
                self._idle.append(worker)
            needs_successor = is_kept and worker.done >= PICTURES_PER_WORKER and not worker.has_successor
            worker.has_successor |= needs_successor
        if not is_kept:
            worker.end()
        if needs_successor:
            threading.Thread(target=self._replace, args=(worker,), daemon=True).start()

    def _replace(self, worker: SandboxWorker) -> None:
        """Start the worker's successor, and end the worker when that is ready."""
        try:
            successor = self._start()
        except SandboxError:
            worker.has_successor = False
            return
        with self._lock:
            if self._is_closed:
                ended = [successor]
            else:
                self._idle.append(successor)
                worker.is_replaced = True
                ended = [worker] if worker in self._idle else []
            self._idle = [each for each in self._idle if each not in ended]
        for each in ended:
            each.end()

    def _start(self) -> SandboxWorker:
        try:
            worker = SandboxWorker()
        except OSError as error:
            raise SandboxUnavailableError("The guardrail can't start a worker process.") from error
        try:
            worker.wait_ready()
        except (TimeoutError, wire.WireError) as error:
            code = worker.end()
            _log.error("guardrail_worker_failed_to_start", exit_code=code)
            raise SandboxUnavailableError("The guardrail's worker process does not start.") from error
        return worker

    def close(self) -> None:
        """End the workers that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._is_closed = True
        for worker in idle:
            worker.end()


def _walls_of(message: dict[str, Any]) -> Walls:
    try:
        return Walls.from_json(message["walls"])
    except (KeyError, ValueError) as error:
        raise wire.WireError("the worker does not say which walls stand") from error


def _python_environment() -> dict[str, str]:
    """The worker finds the packages that this process finds, and computes in one thread."""
    path = [entry or str(Path.cwd()) for entry in sys.path]
    root = str(Path(__file__).parent.parent.parent)
    return {
        "PYTHONPATH": ":".join([root, *path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # onnxruntime would keep a database of what it did, and upload it
        "ORT_DISABLE_TELEMETRY": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "1048576",
    }
