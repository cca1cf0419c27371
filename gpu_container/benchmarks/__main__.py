"""``python -m gpu_container.benchmarks [--quick]``: a table of ratios, and ``results.json`` beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_container.benchmarks import concurrency
from gpu_container.benchmarks.measure import Pair, compare, decoded, largest_difference, psnr_db
from gpu_container.benchmarks.ours import Ours
from gpu_container.benchmarks.peer import Peer
from gpu_container.benchmarks.pictures import encoded, half_transparent, photo
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import GpuSettings, Precision, Runtime, get_gpu_settings
from gpu_container.worker import choose_device, make_engine
from imagery.telemetry.logs import configure_logging

_COMPACT = UPSCALE_MODELS["realesr-animevideov3"]
_X4PLUS = UPSCALE_MODELS["realesrgan-x4plus"]
_RESULTS = Path(__file__).with_name("results.json")
_PEAK_LIMIT_S = 900


class Report:
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
        prog="python -m gpu_container.benchmarks",
        description="Our GPU stages against rembg, RealESRGANer and Pillow: same weights, same run.",
    )
    parser.add_argument("--quick", action="store_true", help="the essential rows, in under five minutes")
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many (default 5)")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="where to write the results as JSON")
    given = parser.parse_args(arguments)
    configure_logging("ERROR")
    settings = get_gpu_settings()
    report = Report()
    report.found |= _machine(settings, given.quick, given.rounds)
    report.tell(f"{report.found['device']}, medians of {given.rounds}")
    _compact_rows(report, settings, given.rounds, given.quick)
    _x4plus_rows(report, settings, given.rounds, 128 if given.quick else 256)
    kinds = ["photo"] if given.quick else list(concurrency.KINDS)
    _concurrency_rows(report, settings, given.rounds, [16] if given.quick else [1, 4, 16], kinds)
    _memory_rows(report, ["RGBA"] if given.quick else ["RGB", "RGBA"])
    if torch.cuda.is_available():
        from gpu_container.benchmarks import cuda

        report.found["cuda"] = cuda.rows(settings, given.rounds, report.tell)
    given.out.write_text(json.dumps(report.found, indent=2) + "\n")
    report.tell(f"written to {given.out.name}")
    return 0


def _machine(settings: GpuSettings, quick: bool, rounds: int) -> dict[str, Any]:
    device = choose_device(settings.device)
    name = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores {_processor()}"
    packages = ("torch", "openvino", "onnxruntime", "rembg", "realesrgan", "pillow")
    return {
        "device": f"{device}: {name}",
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


def _compact_rows(report: Report, settings: GpuSettings, rounds: int, quick: bool) -> None:
    device = choose_device(settings.device)
    peer = Peer(_COMPACT, settings, device)
    ours = Ours(settings.model_copy(update={"upscale_model": _COMPACT.name}))
    engine = Reference(settings)

    def row(key: str, title: str, data: bytes, work: Callable[[Any], Callable[[bytes], bytes]]) -> None:
        pair = compare(lambda: work(peer)(data), lambda: work(ours)(data), times)
        report.pair(key, title, pair)

    def upscale(side: Any) -> Callable[[bytes], bytes]:
        result: Callable[[bytes], bytes] = side.upscale
        return result

    def both(side: Any) -> Callable[[bytes], bytes]:
        result: Callable[[bytes], bytes] = side.cut_out_and_upscale
        return result

    sides = [512] if quick else [512, 1024, 2048]
    for side in sides:
        # the script takes minutes for the largest
        times = {512: rounds, 1024: min(rounds, 3)}.get(side, 1)
        picture = photo(side, side)
        row(f"cutout_{side}", f"decode, cut out, 4x RGBA, encode, {side} px", encoded(picture), both)
        row(f"photo_{side}", f"decode, 4x RGB, encode, {side} px", encoded(picture), upscale)
        if not quick:
            cutout = half_transparent(side, side)
            row(f"rgba_{side}", f"decode, 4x half transparent, encode, {side} px", encoded(cutout), upscale)
    if not quick:
        times = rounds
        for width, height in ((522, 389), (1000, 37)):
            key, title = f"odd_{width}x{height}", f"decode, 4x RGB, encode, {width}x{height} px"
            row(key, title, encoded(photo(width, height)), upscale)
    pixels = np.asarray(photo(512, 512))
    reference, result = engine.untiled(pixels), decoded(ours.upscale(encoded(photo(512, 512))))
    tiles = settings.model_copy(update={"upscale_model": _COMPACT.name, "tile": 200})
    tiled = Ours(tiles)
    seams = largest_difference(decoded(tiled.upscale(encoded(photo(512, 512)))), result)
    tiled.stop()
    ours.stop()
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
    """The compact network in fp32 by torch, untiled."""

    def __init__(self, settings: GpuSettings, model: Any = _COMPACT) -> None:
        exact = settings.model_copy(update={"runtime": Runtime.TORCH, "precision": Precision.FP32})
        self._engine = make_engine(model, model.load(settings.model_cache), exact, "cpu")

    def untiled(self, pixels: np.ndarray) -> np.ndarray:
        """The whole picture at once."""
        return self._engine.start(pixels[None]).result()[0].copy()


def _x4plus_rows(report: Report, settings: GpuSettings, rounds: int, side: int) -> None:
    device = choose_device(settings.device)
    peer = Peer(_X4PLUS, settings, device)
    ours = Ours(settings.model_copy(update={"upscale_model": _X4PLUS.name}))
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
    report: Report, settings: GpuSettings, rounds: int, counts: list[int], kinds: list[str]
) -> None:
    for jobs in counts:
        for kind, found in concurrency.measure(settings, jobs, rounds, kinds).items():
            report.found[f"concurrency_{kind}_{jobs}_ratio"] = round(found.ratio, 3)
            report.found[f"concurrency_{kind}_{jobs}_slowest_over_median"] = round(
                found.slowest_over_median, 3
            )
            report.found[f"concurrency_{kind}_{jobs}_cores_busy_in_turn"] = round(found.cores_in_turn, 3)
            report.tell(
                f"{jobs:2d} jobs of 256 px, {kind:8s} in turn {found.in_turn_s:6.2f} s, at once "
                f"{found.at_once_s:6.2f} s  {found.ratio:6.2f}x  slowest/median "
                f"{found.slowest_over_median:.2f}; in turn kept {found.cores_in_turn:.2f} cores busy"
            )
    last = counts[-1]
    report.found["concurrency_ratio"] = report.found[f"concurrency_photo_{last}_ratio"]
    report.found["concurrency_slowest_over_median"] = report.found[
        f"concurrency_photo_{last}_slowest_over_median"
    ]


def _memory_rows(report: Report, modes: list[str]) -> None:
    for mode in modes:
        command = [sys.executable, "-m", "gpu_container.benchmarks.peak", "4096", mode]
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
