"""The networks in their own forms against the plain ones, which are the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from gpu_container import compat
from gpu_container.models import UPSCALE_MODELS
from gpu_container.networks.compact import MaskedCompact
from gpu_container.networks.forms import fused
from gpu_container.networks.operations import TorchOperations
from gpu_container.networks.phase import PhaseConvolution
from gpu_container.networks.rrdb import SplitRrdb


def small_rrdb() -> nn.Module:
    """x4plus with one group of dense blocks instead of 23, in 64 bits, with weights that matter."""
    compat.prepare()
    from basicsr.archs.rrdbnet_arch import RRDBNet

    torch.manual_seed(0)
    network = RRDBNet(3, 3, num_feat=16, num_block=2, num_grow_ch=8, scale=4).double().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        nn.init.normal_(parameter, std=0.12)
    return network


def small_compact() -> nn.Module:
    compat.prepare()
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    torch.manual_seed(0)
    network = SRVGGNetCompact(3, 3, num_feat=16, num_conv=3, upscale=4, act_type="prelu").double().eval()
    return network.requires_grad_(False)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(1, 3, 9, 14), (2, 3, 16, 5), (1, 3, 1, 1)])
def test_the_split_network_computes_the_same(shape: tuple[int, ...]) -> None:
    network = small_rrdb()
    given = noise(*shape)
    assert torch.allclose(SplitRrdb(network)(given), network(given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_a_plane_that_is_enlarged_in_strips_is_the_same(rows: int) -> None:
    network = small_rrdb()
    given = noise(1, 3, 19, 10)
    strips = SplitRrdb(network, tail_pixels=rows * 10)(given)
    assert torch.allclose(strips, network(given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (7, 4)])
def test_the_phase_form_is_the_convolution_of_the_enlarged_plane(size: tuple[int, int]) -> None:
    convolution = nn.Conv2d(5, 6, 3, padding=1, dtype=torch.float64).requires_grad_(False)
    features = noise(2, 5, *size) - 0.5
    wanted = convolution(functional.interpolate(features, scale_factor=2, mode="nearest"))
    found = TorchOperations().enlarged(PhaseConvolution(convolution)(features), None)
    assert torch.allclose(found, functional.leaky_relu(wanted, 0.2), rtol=0, atol=1e-12)


def test_a_convolution_without_phases_is_refused() -> None:
    with pytest.raises(ValueError, match="3x3"):
        PhaseConvolution(nn.Conv2d(4, 4, 5, padding=2))


@pytest.mark.parametrize(("plain", "form"), [(small_rrdb, SplitRrdb), (small_compact, MaskedCompact)])
def test_pictures_in_one_plane_do_not_see_each_other(plain: type[nn.Module], form: type[nn.Module]) -> None:
    network = plain()
    boxes = [(0, 0, 9, 12), (0, 13, 11, 7), (10, 0, 6, 12), (12, 13, 4, 3), (12, 17, 4, 3)]
    planes, mask = torch.zeros(1, 3, 16, 20).double(), torch.zeros(1, 1, 16, 20).double()
    for number, (top, left, height, width) in enumerate(boxes):
        planes[:, :, top : top + height, left : left + width] = noise(1, 3, height, width) + number
        mask[:, :, top : top + height, left : left + width] = 1
    together = form(network)(planes, mask)
    for top, left, height, width in boxes:
        alone = network(planes[:, :, top : top + height, left : left + width])
        part = together[:, :, top * 4 : (top + height) * 4, left * 4 : (left + width) * 4]
        assert torch.allclose(part, alone, rtol=0, atol=1e-11)


@pytest.mark.models
def test_the_real_weights_give_the_same_picture(cache: Path) -> None:
    network = UPSCALE_MODELS["realesrgan-x4plus"].load(cache)
    given = noise(1, 3, 12, 16).float()
    assert torch.allclose(SplitRrdb(network)(given), network(given), rtol=0, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels work")
def test_where_kernels_do_not_work_the_network_runs_without_them() -> None:
    assert isinstance(fused("cuda"), TorchOperations)
