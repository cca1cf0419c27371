"""The benchmark compares like with like, and counts right."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from drills.gpu_bench import concurrency
from drills.gpu_bench.__main__ import main
from drills.gpu_bench.cuda import CudaRows, Extent, flop_per_pixel
from drills.gpu_bench.measure import compare, decoded, largest_difference, psnr_db, with_networks
from drills.gpu_bench.ours import Ours
from drills.gpu_bench.peer import Peer
from drills.gpu_bench.pictures import encoded, half_transparent, photo
from gpu_container.models import UPSCALE_MODELS
from gpu_container.settings import Device, GpuSettings, NetworkWords, Precision

COMPACT = UPSCALE_MODELS["realesr-animevideov3"]


@pytest.mark.drill
def test_the_peer_and_ours_make_the_same_picture(cache: Path) -> None:
    settings = GpuSettings(model_cache=cache, networks=NetworkWords(upscale=COMPACT.name))
    ours, peer = Ours(settings), Peer(COMPACT, settings, "cpu")
    try:
        data = encoded(photo(120, 90))
        one, other = decoded(peer.upscale(data)), decoded(ours.upscale(data))
        assert one.shape == other.shape == (360, 480, 3)
        # the peer surrounds pictures with a mirrored frame, so the edges differ
        assert psnr_db(one[80:-80, 80:-80], other[80:-80, 80:-80]) > 48
        data = encoded(photo(150, 100))
        one, other = decoded(peer.cut_out_and_upscale(data)), decoded(ours.cut_out_and_upscale(data))
        assert one.shape == other.shape == (400, 600, 4)
        assert np.abs(one[..., 3].astype(int) - other[..., 3]).mean() < 2
    finally:
        ours.stop()


def test_half_of_the_cut_out_is_transparent() -> None:
    alpha = np.asarray(half_transparent(200, 100))[..., 3]
    assert (alpha == 0).mean() == pytest.approx(0.5, abs=0.03)


def test_differences_are_measured_right() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 16, np.uint8)
    assert largest_difference(black, grey) == 16
    assert psnr_db(black, grey) == pytest.approx(20 * math.log10(255 / 16))
    assert psnr_db(black, black) == math.inf


def test_times_are_medians_taken_in_turns() -> None:
    order: list[str] = []
    pair = compare(lambda: order.append("peer"), lambda: order.append("ours"), 3)
    assert order == ["peer", "ours"] * 3
    assert pair.ratio == pair.peer_s / pair.ours_s


@pytest.mark.drill
def test_the_operations_of_a_network_are_counted(cache: Path) -> None:
    # 18 convolutions of 3x3 at the input's size: 3 to 64 channels, 16 times 64 to 64, 64 to 48
    by_hand = 2 * 9 * (3 * 64 + 16 * 64 * 64 + 64 * 48)
    assert flop_per_pixel(COMPACT.load(cache)) == by_hand


@pytest.mark.drill
def test_jobs_at_once_are_compared_with_the_same_in_turn(cache: Path) -> None:
    found = concurrency.measure(GpuSettings(model_cache=cache), 2, 1, ["cutout"])["cutout"]
    assert found.jobs == 2
    assert found.in_turn_s > 0
    assert found.slowest_over_median >= 1


@pytest.mark.drill
@pytest.mark.parametrize("lacks_packages", [False, True])
def test_the_rows_of_a_cuda_machine_are_measured_the_same_way_on_a_processor(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks_packages: bool
) -> None:
    for name in ("peer", "ours") if lacks_packages else ():
        monkeypatch.setitem(sys.modules, f"drills.gpu_bench.{name}", None)
    extent = Extent(
        device=Device.CPU,
        side=16,
        matmul=64,
        precisions=(Precision.FP32,),
        plain=(False,),
        batches=(1, 2),
        repeats=1,
        jobs=2,
    )
    told: list[str] = []
    out = tmp_path / "cuda.json"
    settings = GpuSettings(model_cache=cache)
    found = CudaRows(told.append, out).measure(settings, COMPACT, extent, 1)
    assert found["compute_images_per_s"] == max(
        found["images_per_s_fp32_batch1"], found["images_per_s_fp32_batch2"]
    )
    assert found["tflop_per_image"] * 1e12 == flop_per_pixel(COMPACT.load(cache)) * 16**2
    assert len([line for line in told if "left out" in line]) == (2 if lacks_packages else 0)
    assert ("end_to_end_share" in found) is ("x4plus_ratio" in found) is not lacks_packages
    assert json.loads(out.read_text()).items() <= found.items()


def test_a_word_of_the_networks_that_is_none_is_refused(cache: Path) -> None:
    settings = GpuSettings(model_cache=cache)
    assert with_networks(settings, precision=Precision.FP32).networks.precision is Precision.FP32
    with pytest.raises(ValueError, match="upscale_model"):
        with_networks(settings, upscale_model=COMPACT.name)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out
