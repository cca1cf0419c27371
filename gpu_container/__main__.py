"""``python -m gpu_container [--host H] [--port P]``: serve until SIGTERM."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from gpu_container.server import create_app
from gpu_container.settings import get_gpu_settings
from imagery.contracts import JOBS
from imagery.settings import get_settings
from imagery.storage import get_storage
from imagery.telemetry.logs import configure_logging


def main(arguments: list[str]) -> int:
    """Serve."""
    settings = get_gpu_settings()
    parser = argparse.ArgumentParser(
        prog="python -m gpu_container", description="Background removal and upscaling over HTTP."
    )
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.port)
    given = parser.parse_args(arguments)
    configure_logging(get_settings().log_level)
    storage = get_storage()
    storage.ensure_containers(JOBS)
    uvicorn.run(
        create_app(settings, storage),
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
