"""The rows that only a CUDA machine has: images a second, TFLOP/s, share of the card's matmul peak."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from gpu_container.benchmarks.measure import seconds
from gpu_container.benchmarks.ours import Ours
from gpu_container.benchmarks.peer import Peer
from gpu_container.benchmarks.pictures import encoded, photo
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import GpuSettings, Precision
from gpu_container.worker import make_engine

_SIDE = 512
_BATCHES = 12
_MATMUL = 8192
_TERA = 1e12
_TARGET_JOBS = 64


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


def matmul_peak_tflops() -> float:
    """The most this card multiplies matrices at in fp16, as measured here and now."""
    one = torch.randn(_MATMUL, _MATMUL, device="cuda", dtype=torch.float16)
    other = torch.randn_like(one)

    def run(times: int) -> None:
        for _ in range(times):
            torch.mm(one, other)
        torch.cuda.synchronize()

    run(3)
    best = min(seconds(lambda: run(10)) / 10 for _ in range(3))
    return 2.0 * _MATMUL**3 / best / _TERA


def rows(settings: GpuSettings, rounds: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Measure x4plus at 512 -> 2048 with every precision and batch, against RealESRGANer in fp16."""
    model = UPSCALE_MODELS["realesrgan-x4plus"]
    flop = flop_per_pixel(model.load(settings.model_cache)) * _SIDE**2
    peak = matmul_peak_tflops()
    pixels = np.asarray(photo(_SIDE, _SIDE))
    found: dict[str, float] = {"matmul_peak_tflops": peak, "tflop_per_image": flop / _TERA}
    tell(f"matmul peak (fp16) {peak:.0f} TFLOP/s; one image takes {flop / _TERA:.2f} TFLOP")
    for precision in (Precision.FP16, Precision.BF16):
        for compiled in (False, True):
            for batch in (1, 4, 8, 16):
                chosen = settings.model_copy(update={"precision": precision, "compile": compiled})
                name = f"{precision.value}{'_compiled' if compiled else ''}_batch{batch}"
                try:
                    rate = _images_per_s(chosen, pixels, batch)
                except Exception as error:  # one configuration that fails must not cost the others
                    tell(f"{name:24s} failed: {type(error).__name__}: {error}")
                    continue
                found[f"images_per_s_{name}"] = rate
                reached = rate * flop / _TERA
                tell(f"{name:24s} {rate:7.2f} images/s {reached:7.0f} TFLOP/s {reached / peak:6.1%} of peak")
    compute = max(rate for name, rate in found.items() if name.startswith("images_per_s_fp16_batch"))
    found["compute_images_per_s"] = compute
    peer = Peer(model, settings, "cuda")
    peer.enhance(pixels)
    peer_rate = 1 / min(seconds(lambda: peer.enhance(pixels)) for _ in range(rounds))
    found |= {"peer_images_per_s": peer_rate, "x4plus_ratio": compute / peer_rate}
    end_to_end = _end_to_end_per_s(settings.model_copy(update={"upscale_model": model.name}))
    found |= {"end_to_end_images_per_s": end_to_end, "end_to_end_share": end_to_end / compute}
    return found


def _images_per_s(settings: GpuSettings, pixels: np.ndarray, batch: int) -> float:
    """Compute-only throughput of the engine with its pipeline full."""
    model = UPSCALE_MODELS["realesrgan-x4plus"]
    engine = make_engine(model, model.load(settings.model_cache), settings, "cuda")
    tiles = np.repeat(pixels[None], batch, axis=0)
    for _ in range(6):
        engine.start(tiles).result()
    flights: deque[object] = deque()
    started = time.perf_counter()
    for _ in range(_BATCHES):
        flights.append(engine.start(tiles))
        if len(flights) == engine.max_in_flight:
            flights.popleft().result()  # type: ignore[attr-defined]
    while flights:
        flights.popleft().result()  # type: ignore[attr-defined]
    rate = _BATCHES * batch / (time.perf_counter() - started)
    engine.release()
    return rate


def _end_to_end_per_s(settings: GpuSettings) -> float:
    """Of the whole stage: decode, upscale, encode, many jobs at once."""
    ours = Ours(settings)
    data = encoded(photo(_SIDE, _SIDE))
    with ThreadPoolExecutor(settings.queue_limit) as pool:
        list(pool.map(lambda _: ours.upscale(data), range(settings.queue_limit)))
        took = seconds(lambda: list(pool.map(lambda _: ours.upscale(data), range(_TARGET_JOBS))))
    ours.stop()
    return _TARGET_JOBS / took
