"""The rows that only a CUDA machine has: images a second, TFLOP/s, share of the card's matmul peak."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

from drills.gpu_bench.measure import seconds
from drills.gpu_bench.ours import Ours, with_networks
from drills.gpu_bench.peer import Peer
from drills.gpu_bench.pictures import encoded, photo
from gpu_container.atlas import smallest
from gpu_container.engine import RunningBatch
from gpu_container.models import UpscaleModel
from gpu_container.settings import Device, GpuSettings, Precision, Runtime
from gpu_container.worker import make_engine
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
    compiled: tuple[bool, ...] = (False, True)
    batches: tuple[int, ...] = (1, 4, 8, 16)
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


def rows(
    settings: GpuSettings,
    model: UpscaleModel,
    extent: Extent,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Measure every precision and batch, the peer in 16 bits, and the whole stage with many jobs at once."""
    settings = with_networks(settings.model_copy(update={"device": extent.device}), runtime=Runtime.TORCH)
    flop = flop_per_pixel(model.load(settings.model_cache)) * extent.side**2
    peak = matmul_peak_tflops(extent)
    pixels = np.asarray(photo(extent.side, extent.side))
    tell(f"matmul peak {peak:.2f} TFLOP/s; one image takes {flop / _TERA:.3f} TFLOP")
    rates: dict[str, float] = {}
    best, best_rate = settings, 0.0
    for precision, plain, compiled, batch in product(
        extent.precisions, extent.plain, extent.compiled, extent.batches
    ):
        chosen = with_networks(settings, precision=precision, plain=plain, compile=compiled)
        form = f"{'_plain' if plain else ''}{'_compiled' if compiled else ''}"
        name = f"{precision.value}{form}_batch{batch}"
        try:
            rate = _images_per_s(chosen, model, extent, np.repeat(pixels[None], batch, axis=0))
        except Exception as error:  # one configuration that fails must not cost the others
            tell(f"{name:24s} failed: {type(error).__name__}: {error}")
            continue
        rates[f"images_per_s_{name}"] = rate
        reached = rate * flop / _TERA
        tell(f"{name:24s} {rate:7.2f} images/s {reached:8.2f} TFLOP/s {reached / peak:6.1%} of the peak")
        if rate > best_rate:
            best, best_rate = chosen, rate
    peer = _peer_per_s(settings, model, extent, pixels, rounds)
    tell(f"compute {best_rate:.2f} images/s, {best_rate / peer:.2f}x the peer's {peer:.2f}")
    end_to_end = _end_to_end_per_s(best, model, extent)
    tell(f"whole stage {end_to_end:.2f} images/s, {end_to_end / best_rate:.1%} of compute")
    return {
        "matmul_peak_tflops": peak,
        "tflop_per_image": flop / _TERA,
        **rates,
        "compute_images_per_s": best_rate,
        "share_of_matmul_peak": best_rate * flop / _TERA / peak,
        "peer_images_per_s": peer,
        "x4plus_ratio": best_rate / peer,
        "end_to_end_images_per_s": end_to_end,
        "end_to_end_share": end_to_end / best_rate,
    }


def _wait(device: Device) -> None:
    if device is Device.CUDA:
        torch.cuda.synchronize()


def _images_per_s(settings: GpuSettings, model: UpscaleModel, extent: Extent, batch: np.ndarray) -> float:
    """Compute-only throughput of the engine with its pipeline full."""
    engine = make_engine(model, model.load(settings.model_cache), settings, extent.device.value)
    atlas = smallest([batch.shape[1:3]] * len(batch), engine.planes)
    images = len(batch)
    batch = batch if atlas is None else atlas.drawn(list(batch))
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
    peer = Peer(model, settings, extent.device.value)
    peer.enhance(pixels)
    return 1 / min(seconds(lambda: peer.enhance(pixels)) for _ in range(rounds))


def _end_to_end_per_s(settings: GpuSettings, model: UpscaleModel, extent: Extent) -> float:
    """Of the whole stage: decode, upscale, encode, many jobs at once."""
    ours = Ours(with_networks(settings, upscale=model.name), (Stage.REALESRGAN,))
    data = encoded(photo(extent.side, extent.side))

    def run(jobs: int) -> None:
        list(pool.map(lambda _: ours.upscale(data), range(jobs)))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        run(min(extent.jobs, _AT_ONCE))
        took = seconds(lambda: run(extent.jobs))
    ours.stop()
    return extent.jobs / took
