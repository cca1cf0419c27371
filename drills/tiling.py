"""Pictures of random sizes, upscaled in tiles and at once by the real network: both must be the same."""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import threading

import numpy as np

from gpu_container.engine import UpscaleEngine
from gpu_container.engines import make_engine
from gpu_container.errors import ServiceStoppingError
from gpu_container.models import UPSCALE_MODELS
from gpu_container.scheduler import Scheduler
from gpu_container.settings import GpuSettings, MemoryWords, NetworkWords, Runtime
from gpu_container.upscaler import Upscaler

MODEL = UPSCALE_MODELS["realesr-animevideov3"]
_LARGEST = 200


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colour with edges and noise, (H, W, 3) uint8."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 13), np.sign(np.sin((x + y) / 17))]
    base = np.stack([127 + 90 * wave for wave in waves], axis=-1)
    return np.clip(base + noise.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def untiled(engine: UpscaleEngine, colour: np.ndarray) -> np.ndarray:
    """The network on the whole picture at once; what has fewer than 4 rows or columns in a frame of 10."""
    if min(colour.shape[:2]) >= 4:
        whole: np.ndarray = engine.start(colour[None]).result()[0].copy()
        return whole
    framed = np.pad(colour, ((10, 10), (10, 10), (0, 0)), mode="edge")
    inner: np.ndarray = engine.start(framed[None]).result()[0][40:-40, 40:-40].copy()
    return inner


def difference(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pictures of one shape, in steps of 255."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def sizes(count: int, seed: int) -> list[tuple[int, int]]:
    """``count`` heights and widths; one in five is narrower than the network sees."""
    chosen = random.Random(seed)
    return [
        (chosen.randint(1, _LARGEST), chosen.randint(1, 8 if number % 5 == 4 else _LARGEST))
        for number in range(count)
    ]


def main(arguments: list[str]) -> int:
    """1 if a picture of one size differs."""
    parser = argparse.ArgumentParser(prog="python -m drills.tiling", description=__doc__)
    parser.add_argument("--sizes", type=int, default=200, help="pictures for each engine (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    told: dict[str, int] = {"sizes": given.sizes, "violations": 0}
    for runtime in (Runtime.TORCH, Runtime.OPENVINO):
        settings = GpuSettings(networks=NetworkWords(runtime=runtime), memory=MemoryWords(tile=64))
        scheduler = Scheduler(4)
        engine = make_engine(MODEL, MODEL.load(settings.model_cache), settings, "cpu")
        upscaler = Upscaler(MODEL, engine, scheduler, settings)
        threading.Thread(target=scheduler.run, daemon=True).start()
        for number, (height, width) in enumerate(sizes(given.sizes, given.seed)):
            pixels = picture(height, width, number)
            worst = difference(upscaler.upscale(pixels, math.inf).pixels, untiled(engine, pixels))
            if worst > 1:
                told["violations"] += 1
                sys.stderr.write(f"{runtime}: {height}x{width}, seed {number}: differs by {worst}\n")
        scheduler.cancel_all(ServiceStoppingError("the drill is over"))
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if told["violations"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
