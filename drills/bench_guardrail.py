"""``make drill NAME=bench-guardrail``: a verdict on a 2 MP JPEG over HTTP against the bare decoding."""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from testbed.stack import PHOTO, Stack

_SIZE = (1732, 1155)


def two_megapixels() -> bytes:
    """The sample photo at 2 MP, as a camera would save it."""
    buffer = io.BytesIO()
    with Image.open(PHOTO) as photo:
        photo.convert("RGB").resize(_SIZE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def timed(work: Callable[[], None]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def decode(data: bytes) -> None:
    """The bare decode: every pixel, nothing else."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def main(arguments: list[str]) -> int:
    """Measure in turns; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="python -m drills bench-guardrail", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests (%(default)s)")
    rounds = parser.parse_args(arguments).rounds
    data = two_megapixels()
    with tempfile.TemporaryDirectory() as name:
        environment = {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": f"{name}/store"}
        stack = Stack(Path(name), environment)
        stack.start_host()
        try:

            def validate() -> None:
                answer = stack.client.post(
                    "/api/v1/guardrail/validate", files={"file": ("p.jpg", data, "image/jpeg")}
                )
                assert answer.json()["admitted"], answer.text

            for _ in range(5):
                validate()
            pairs = [(timed(lambda: decode(data)), timed(validate)) for _ in range(rounds)]
            with ThreadPoolExecutor(2) as pool:
                at_once = list(pool.map(lambda _: timed(validate), range(rounds)))
        finally:
            stack.stop()
    bare, alone = np.array(pairs).T
    result = {
        "picture": f"{_SIZE[0]}x{_SIZE[1]} JPEG, {len(data)} bytes",
        "bare_decode_ms_p50": round(float(np.median(bare)), 1),
        "validate_ms_p50": round(float(np.median(alone)), 1),
        "validate_ms_p95": round(float(np.percentile(alone, 95)), 1),
        "ratio_to_decode_p50": round(float(np.median(alone / bare)), 1),
        "two_at_once_ms_p95": round(float(np.percentile(at_once, 95)), 1),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
