"""``make drill NAME=gpu-bench``: a table of ratios, and ``results.json`` beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drills.gpu_bench import concurrency, cuda
from drills.gpu_bench.measure import (
    Pair,
    compare,
    decoded,
    largest_difference,
    psnr_db,
    with_networks,
)
from drills.gpu_bench.ours import Ours
from drills.gpu_bench.peer import Peer
from drills.gpu_bench.pictures import encoded, half_transparent, photo
from gpu_container.engines import make_engine
from gpu_container.models import UPSCALE_MODELS, UpscaleModel
from gpu_container.settings import Device, GpuSettings, Precision, Runtime, get_gpu_settings
from imagery.telemetry.logs import configure_logging

_COMPACT = UPSCALE_MODELS["realesr-animevideov3"]
_X4PLUS = UPSCALE_MODELS["realesrgan-x4plus"]
_RESULTS = Path(__file__).with_name("results.json")
_PEAK_LIMIT_S = 900
_QUICK_SIDE = 512
# a request to a store on another machine
_DISTANCE_S = 0.015
_ODD_SIZES = ((522, 389), (1000, 37))


class BenchReport:
    """Prints as it goes, and keeps what goes into the file."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._started = time.perf_counter()

    def tell(self, line: str) -> None:
        """One line, with the time since the start."""
        sys.stdout.write(f"{time.perf_counter() - self._started:6.0f} s  {line}\n")
        sys.stdout.flush()

    def pair(self, key: str, title: str, pair: Pair, extra: str = "") -> None:
        """One comparison."""
        self.found[f"{key}_ratio"] = round(pair.ratio, 3)
        self.found[f"{key}_peer_s"] = round(pair.peer_s, 4)
        self.found[f"{key}_ours_s"] = round(pair.ours_s, 4)
        self.tell(
            f"{title:44s} peer {pair.peer_s:8.3f} s  ours {pair.ours_s:7.3f} s  {pair.ratio:6.2f}x {extra}"
        )


def main(arguments: list[str]) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(
        prog="python -m drills gpu-bench",
        description="Our GPU stages against rembg, RealESRGANer and Pillow: same weights, same run.",
    )
    parser.add_argument("--quick", action="store_true", help="the essential rows, in under five minutes")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts (default 5)")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="where to write the results as JSON")
    given = parser.parse_args(arguments)
    configure_logging("ERROR")
    # the same rows on every machine; one with CUDA adds its own
    settings = get_gpu_settings().model_copy(update={"device": Device.CPU})
    report = BenchReport()
    report.found |= _machine(given.quick, given.rounds)
    report.tell(f"{report.found['device']}, medians of {given.rounds}")
    _compact_rows(report, settings, given.rounds, given.quick)
    _x4plus_rows(report, settings, given.rounds, 128 if given.quick else 256)
    kinds = ["photo"] if given.quick else list(concurrency.KINDS)
    _concurrency_rows(report, settings, given.rounds, [16] if given.quick else [1, 4, 16], kinds)
    _memory_rows(report, ["RGBA"] if given.quick else ["RGB", "RGBA"])
    if torch.cuda.is_available():
        report.found["cuda"] = cuda.CudaRows(report.tell).measure(
            settings, _X4PLUS, cuda.Extent(), given.rounds
        )
    given.out.write_text(json.dumps(report.found, indent=2) + "\n")
    report.tell(f"written to {given.out.name}")
    return 0


def _machine(quick: bool, rounds: int) -> dict[str, Any]:
    device = f"cpu: {os.cpu_count()} cores {_processor()}"
    if torch.cuda.is_available():
        device += f"; cuda: {torch.cuda.get_device_name()}"
    packages = ("torch", "openvino", "onnxruntime", "rembg", "realesrgan", "pillow")
    return {
        "device": device,
        "quick": quick,
        "rounds": rounds,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _compact_rows(report: BenchReport, settings: GpuSettings, rounds: int, quick: bool) -> None:
    peer = Peer(_COMPACT, settings, "cpu")
    ours = Ours(with_networks(settings, upscale=_COMPACT.name))

    def cut_out(key: str, data: bytes, times: int) -> None:
        pair = compare(lambda: peer.cut_out_and_upscale(data), lambda: ours.cut_out_and_upscale(data), times)
        report.pair(f"cutout_{key}", f"decode, cut out, 4x RGBA, encode, {key} px", pair)

    def upscale(key: str, kind: str, data: bytes, times: int) -> None:
        pair = compare(lambda: peer.upscale(data), lambda: ours.upscale(data), times)
        report.pair(f"{kind}_{key}", f"decode, 4x {kind}, encode, {key} px", pair)

    # the script takes minutes for the largest
    for side, times in {512: rounds, 1024: min(rounds, 3), 2048: 1}.items():
        if quick and side > _QUICK_SIDE:
            continue
        picture = encoded(photo(side, side))
        cut_out(str(side), picture, times)
        upscale(str(side), "photo", picture, times)
        if not quick:
            upscale(str(side), "rgba", encoded(half_transparent(side, side)), times)
    for width, height in () if quick else _ODD_SIZES:
        upscale(f"{width}x{height}", "photo", encoded(photo(width, height)), rounds)
    _compact_quality(report, settings, ours)
    ours.stop()


def _compact_quality(report: BenchReport, settings: GpuSettings, ours: Ours) -> None:
    picture = photo(_QUICK_SIDE, _QUICK_SIDE)
    reference = Reference(settings, _COMPACT).untiled(np.asarray(picture))
    result = decoded(ours.upscale(encoded(picture)))
    small = settings.model_copy(update={"memory": settings.memory.model_copy(update={"tile": 200})})
    tiled = Ours(with_networks(small, upscale=_COMPACT.name))
    seams = largest_difference(decoded(tiled.upscale(encoded(picture))), result)
    tiled.stop()
    report.found |= {
        "compact_psnr_db": round(psnr_db(result, reference), 2),
        "compact_max_error": largest_difference(result, reference),
        "compact_seam_max": seams,
    }
    report.tell(
        f"compact, against fp32 untiled: PSNR {report.found['compact_psnr_db']} dB, largest error "
        f"{report.found['compact_max_error']}/255; tiles of 200 px against one tile: {seams}/255"
    )


class Reference:
    """A network in fp32 by torch, untiled."""

    def __init__(self, settings: GpuSettings, model: UpscaleModel) -> None:
        exact = with_networks(settings, runtime=Runtime.TORCH, precision=Precision.FP32)
        self._engine = make_engine(model, model.load(settings.model_cache), exact, "cpu")

    def untiled(self, pixels: np.ndarray) -> np.ndarray:
        """The whole picture at once."""
        whole: np.ndarray = self._engine.start(pixels[None]).result()[0].copy()
        return whole


def _x4plus_rows(report: BenchReport, settings: GpuSettings, rounds: int, side: int) -> None:
    peer = Peer(_X4PLUS, settings, "cpu")
    ours = Ours(with_networks(settings, upscale=_X4PLUS.name))
    pixels = np.asarray(photo(side, side))
    data = encoded(photo(side, side))
    pair = compare(lambda: peer.enhance(pixels), lambda: decoded(ours.upscale(data)), rounds)
    reference, result = Reference(settings, _X4PLUS).untiled(pixels), decoded(ours.upscale(data))
    ours.stop()
    report.found["x4plus_psnr_db"] = round(psnr_db(result, reference), 2)
    report.found["x4plus_max_error"] = largest_difference(result, reference)
    extra = f"PSNR to fp32 {report.found['x4plus_psnr_db']} dB, max {report.found['x4plus_max_error']}/255"
    report.pair("x4plus", f"x4plus {side} px (ours with decode and encode)", pair, extra)


def _concurrency_rows(
    report: BenchReport, settings: GpuSettings, rounds: int, counts: list[int], kinds: list[str]
) -> None:
    for jobs in counts:
        for kind, found in concurrency.measure(settings, jobs, rounds, kinds).items():
            _concurrency_row(report, f"{kind}_{jobs}", kind, found)
    last = counts[-1]
    distant = concurrency.measure(settings, last, rounds, ["photo"], _DISTANCE_S)["photo"]
    title = f"photo, storage {_DISTANCE_S * 1000:.0f} ms away"
    _concurrency_row(report, f"photo_{last}_distant_storage", title, distant)
    report.found["concurrency_ratio"] = report.found[f"concurrency_photo_{last}_ratio"]
    report.found["concurrency_slowest_over_median"] = report.found[
        f"concurrency_photo_{last}_slowest_over_median"
    ]


def _concurrency_row(report: BenchReport, key: str, title: str, found: concurrency.Concurrency) -> None:
    report.found |= {
        f"concurrency_{key}_ratio": round(found.ratio, 3),
        f"concurrency_{key}_slowest_over_median": round(found.slowest_over_median, 3),
        f"concurrency_{key}_cores_busy_in_turn": round(found.cores_in_turn, 3),
    }
    report.tell(
        f"{found.jobs:2d} jobs of 256 px, {title:8s} in turn {found.in_turn_s:6.2f} s, at once "
        f"{found.at_once_s:6.2f} s  {found.ratio:6.2f}x  slowest/median "
        f"{found.slowest_over_median:.2f}; in turn kept {found.cores_in_turn:.2f} cores busy"
    )


def _memory_rows(report: BenchReport, modes: list[str]) -> None:
    for mode in modes:
        command = [sys.executable, "-m", "drills.gpu_bench.peak", "4096", mode]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PEAK_LIMIT_S, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        report.found[f"peak_4096_{mode.lower()}"] = found
        report.tell(
            f"4096x4096 {mode}: {found['seconds']:.1f} s, peak {found['peak_mb']:.0f} MB "
            f"({found['loaded_mb']:.0f} MB with models loaded), {found['output_mb']:.0f} MB written"
        )
    report.found["peak_mb_4096"] = round(
        max(report.found[f"peak_4096_{mode.lower()}"]["peak_mb"] for mode in modes), 1
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
