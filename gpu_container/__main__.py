"""``python -m gpu_container [--host H] [--port P]``: serve until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import socket
import sys
import threading
from types import FrameType

import uvicorn

from gpu_container import process_memory
from gpu_container.server import create_app
from gpu_container.settings import get_gpu_settings
from gpu_container.stages import StageService
from imagery.settings import get_settings
from imagery.storage import get_storage
from imagery.telemetry.exporters.azure_monitor import configure_exporter, shutdown_exporter
from imagery.telemetry.logs import configure_logging, warn_of_old_settings

_ANSWER_S = 3.0
# after the drain, when a lost device keeps the process from ending: then it ends all the same
_HARD_END_S = 10.0
# fragments that are too small for a batch are joined
_ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def main(arguments: list[str]) -> int:
    """Serve. Returns 1 when the device was lost: the platform starts a new process."""
    process_memory.bound()
    # read by torch when it first meets the device
    os.environ.setdefault(*_ALLOCATOR)
    configure_logging(get_settings().log_level)
    warn_of_old_settings()
    settings = get_gpu_settings()
    parser = argparse.ArgumentParser(
        prog="python -m gpu_container", description="Background removal and upscaling over HTTP."
    )
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.port)
    given = parser.parse_args(arguments)
    configure_exporter(get_settings(), "imagery-gpu")
    # nothing is asked of the store now: it may start later, and be away for a while
    app = create_app(settings, get_storage())
    config = uvicorn.Config(
        app,
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    server = _Server(config, app.state.stages, settings.drain_s - _ANSWER_S)
    app.state.worker.watch.on_lost(server.give_up)
    server.run()
    return 1 if app.state.worker.watch.lost else 0


class _Server(uvicorn.Server):
    """Drains from the signal on, beside the server's own shutdown."""

    def __init__(self, config: uvicorn.Config, stages: StageService, within_s: float) -> None:
        super().__init__(config)
        self._stages = stages
        self._within_s = max(0.0, within_s)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: finish or hand back what runs, so that every answer still goes out."""
        if not self._stages.admission.closed:
            self._drain()
        super().handle_exit(sig, frame)

    def give_up(self) -> None:
        """The device is lost: what does not need it any more ends, then the process does, within a bound."""
        # its timer needs no interpreter, and writes down where every thread hangs
        faulthandler.dump_traceback_later(self._within_s + _ANSWER_S + _HARD_END_S, exit=True)
        self._drain()
        self.should_exit = True

    def _drain(self) -> None:
        threading.Thread(target=self._stages.drain, args=(self._within_s,), daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The last answers, then the last telemetry; the signal, raised again, ends the process behind it."""
        await super().shutdown(sockets)
        await asyncio.to_thread(shutdown_exporter)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # a batch that still computes must not hold the process beyond the drain; every answer has been sent
    os._exit(code)
