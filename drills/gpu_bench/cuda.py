"""The rows that only a CUDA machine has: images a second, TFLOP/s, share of the card's matmul peak.

``python -m drills.gpu_bench.cuda`` measures them alone, with torch, the network's package and its weights.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from drills.gpu_bench.measure import seconds, with_networks
from drills.gpu_bench.pictures import encoded, photo
from gpu_container.atlas import smallest
from gpu_container.engine import RunningBatch
from gpu_container.engines import make_engine
from gpu_container.models import UPSCALE_MODELS, UpscaleModel
from gpu_container.settings import Device, GpuSettings, Precision, Runtime, get_gpu_settings
from imagery.contracts import Stage

_TERA = 1e12
_WARM_UPS = 6
_AT_ONCE = 16


@dataclass(frozen=True)
class Extent:
    """How much is measured. ``side``: of the pictures, px; ``matmul``: side of the matrices."""

    device: Device = Device.CUDA
    side: int = 512
    matmul: int = 8192
    precisions: tuple[Precision, ...] = (Precision.FP16, Precision.BF16)
    plain: tuple[bool, ...] = (False, True)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    repeats: int = 12
    jobs: int = 64


def flop_per_pixel(network: nn.Module) -> float:
    """Floating point operations of the convolutions for each input pixel: two a multiply-add."""
    counted = 0.0

    def count(module: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal counted
        counted += 2.0 * module.weight.numel() * output.shape[2] * output.shape[3]

    side = 32
    hooks = [
        module.register_forward_hook(count) for module in network.modules() if isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return counted / side**2


def matmul_peak_tflops(extent: Extent) -> float:
    """The most this device multiplies matrices at in the first precision, as measured here and now."""
    kind = torch.float16 if extent.precisions[0] is Precision.FP16 else torch.float32
    one = torch.randn(extent.matmul, extent.matmul, device=extent.device.value, dtype=kind)
    other = torch.randn_like(one)

    def run(times: int) -> None:
        for _ in range(times):
            torch.mm(one, other)
        _wait(extent.device)

    run(3)
    best = min(seconds(lambda: run(10)) / 10 for _ in range(3))
    return 2.0 * extent.matmul**3 / best / _TERA


class CudaRows:
    """What was measured until now. Each row is told and written at once: the device may be gone by the next.

    ``out``: the file with all of them, None for none.
    """

    def __init__(self, tell: Callable[[str], None], out: Path | None = None) -> None:
        self.found: dict[str, float] = {}
        self._tell = tell
        self._out = out

    def measure(
        self, settings: GpuSettings, model: UpscaleModel, extent: Extent, rounds: int
    ) -> dict[str, float]:
        """Every precision, form and batch, the peer in 16 bits, and the whole stage with many jobs at once.

        A row that can't be measured here is left out: its package may be missing, or the memory.
        """
        settings = with_networks(settings, runtime=Runtime.TORCH, upscale=model.name).model_copy(
            update={"device": extent.device}
        )
        flop = flop_per_pixel(model.load(settings.model_cache)) * extent.side**2
        peak = matmul_peak_tflops(extent)
        self._row("matmul peak", peak, "TFLOP/s", matmul_peak_tflops=peak, tflop_per_image=flop / _TERA)
        pixels = np.asarray(photo(extent.side, extent.side))
        best = settings
        for precision, plain, batch in product(extent.precisions, extent.plain, extent.batches):
            chosen = with_networks(settings, precision=precision, plain=plain)
            name = f"{precision.value}{'_plain' if plain else ''}_batch{batch}"
            rate = self._try(name, partial(_images_per_s, chosen, model, extent, _repeated(pixels, batch)))
            if rate is None:
                continue
            share = rate * flop / _TERA / peak
            if rate > self.found.get("compute_images_per_s", 0.0):
                best = chosen
                self.found |= {"compute_images_per_s": rate, "share_of_matmul_peak": share}
            self._row(f"{name}: {share:.1%} of the peak", rate, "images/s", **{f"images_per_s_{name}": rate})
        computed = self.found.get("compute_images_per_s")
        if computed is None:
            return self.found
        peer = self._try("peer", partial(_peer_per_s, settings, model, extent, pixels, rounds))
        if peer is not None:
            self._row("peer", peer, "images/s", peer_images_per_s=peer, x4plus_ratio=computed / peer)
        whole = self._try("whole stage", partial(_end_to_end_per_s, best, model, extent))
        if whole is not None:
            self._row(
                "whole stage",
                whole,
                "images/s",
                end_to_end_images_per_s=whole,
                end_to_end_share=whole / computed,
            )
        return self.found

    def _try(self, name: str, run: Callable[[], float]) -> float | None:
        try:
            return run()
        except Exception as error:
            self._tell(f"{name} left out: {type(error).__name__}: {error}")
            return None

    def _row(self, name: str, value: float, unit: str, **found: float) -> None:
        self.found |= found
        self._tell(f"{name:40s} {value:8.2f} {unit}")
        if self._out is not None:
            self._out.write_text(json.dumps(self.found, indent=2) + "\n")


def _repeated(pixels: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(pixels[None], count, axis=0)


def _wait(device: Device) -> None:
    if device is Device.CUDA:
        torch.cuda.synchronize()


def _images_per_s(settings: GpuSettings, model: UpscaleModel, extent: Extent, batch: np.ndarray) -> float:
    """Compute-only throughput of the engine with its pipeline full."""
    engine = make_engine(model, model.load(settings.model_cache), settings, extent.device.value)
    atlas = smallest([batch.shape[1:3]] * len(batch), engine.planes)
    images = len(batch)
    batch = batch if atlas is None else atlas.drawn(list(batch))
    if math.prod(batch.shape[:3]) > engine.useful_pixels:
        raise ValueError("the service never computes so much at once")
    for _ in range(_WARM_UPS):
        engine.start(batch).result()
    flights: deque[RunningBatch] = deque()
    started = time.perf_counter()
    for _ in range(extent.repeats):
        flights.append(engine.start(batch))
        if len(flights) == engine.max_in_flight:
            flights.popleft().result()
    while flights:
        flights.popleft().result()
    rate = extent.repeats * images / (time.perf_counter() - started)
    engine.release()
    return rate


def _peer_per_s(
    settings: GpuSettings, model: UpscaleModel, extent: Extent, pixels: np.ndarray, rounds: int
) -> float:
    from drills.gpu_bench.peer import Peer

    peer = Peer(model, settings, extent.device.value)
    peer.enhance(pixels)
    return 1 / min(seconds(lambda: peer.enhance(pixels)) for _ in range(rounds))


def _end_to_end_per_s(settings: GpuSettings, model: UpscaleModel, extent: Extent) -> float:
    """Of the whole stage: decode, upscale, encode, many jobs at once."""
    from drills.gpu_bench.ours import Ours

    ours = Ours(settings, (Stage.REALESRGAN,))
    data = encoded(photo(extent.side, extent.side))

    def run(jobs: int) -> None:
        list(pool.map(lambda _: ours.upscale(data), range(jobs)))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        run(min(extent.jobs, _AT_ONCE))
        took = seconds(lambda: run(extent.jobs))
    ours.stop()
    return extent.jobs / took


def main(arguments: list[str]) -> int:
    """Measure. Returns 2 where torch finds no CUDA device."""
    parser = argparse.ArgumentParser(prog="python -m drills.gpu_bench.cuda", description=__doc__)
    parser.add_argument("--model", choices=sorted(UPSCALE_MODELS), default="realesrgan-x4plus")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the peer (default 5)")
    parser.add_argument(
        "--out", type=Path, default=Path("cuda.json"), help="where each row is written at once"
    )
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.stderr.write("torch finds no CUDA device here\n")
        return 2

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    tell(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    rows = CudaRows(tell, given.out)
    rows.measure(get_gpu_settings(), UPSCALE_MODELS[given.model], Extent(), given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
