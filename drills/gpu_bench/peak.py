"""``python -m drills.gpu_bench.peak SIDE MODE``: peak memory of one upscaling, as JSON.

A process of its own, because a process never forgets its peak. ``MODE``: RGB or RGBA.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from drills.gpu_bench.concurrency import Service
from drills.gpu_bench.pictures import encoded, half_transparent, photo
from gpu_container.settings import get_gpu_settings
from imagery.contracts import JOBS, BlobRef

_STATUS = Path("/proc/self/status")
_BYTES_PER_MB = 1024 * 1024


def peak_mb() -> float:
    """Resident memory of this process at its highest so far, MB (2**20 bytes).

    Not getrusage on Linux: its figure begins with that of the process that started this one.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _BYTES_PER_MB


def main(side: int, mode: str) -> None:
    """Upscale one picture through the service's HTTP door and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(get_gpu_settings(), Path(folder))
        loaded_mb = peak_mb()
        picture = photo(side, side) if mode == "RGB" else half_transparent(side, side)
        service.storage.write(BlobRef(container=JOBS, name="in"), encoded(picture), "image/png")
        del picture
        before_mb, started = peak_mb(), time.perf_counter()
        service.call("upscale", "in", "out")
        took_s = time.perf_counter() - started
        output = service.storage.properties(BlobRef(container=JOBS, name="out")).size
        service.stop()
    report = {
        "side": side,
        "mode": mode,
        "loaded_mb": loaded_mb,
        "before_mb": before_mb,
        "peak_mb": peak_mb(),
        "seconds": took_s,
        "output_mb": output / 2**20,
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
