"""The Triton kernels against plain torch: on a GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from gpu_container.networks.operations import Operations, TorchOperations
from gpu_container.networks.rrdb import SplitRrdb
from tests.gpu_container.test_networks import small_rrdb

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed: it comes with torch's CUDA builds, on processors by itself (pip)",
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Operations:
    if DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    from gpu_container.networks.triton_operations import TritonOperations

    return TritonOperations()


def noise(*shape: int) -> torch.Tensor:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) - 0.5
    return values.to(DEVICE).contiguous(memory_format=torch.channels_last)


@pytest.fixture(params=[True, False], ids=["mask", "no mask"])
def mask(request: pytest.FixtureRequest) -> torch.Tensor | None:
    return (noise(2, 1, 9, 11) > 0).float() if request.param else None


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("residuals", [0, 1, 2])
def test_sums_of_parts(kernels: Operations, mask: torch.Tensor | None, parts: int, residuals: int) -> None:
    sums = [noise(2, 8 * (6 - number), 9, 11) for number in range(parts)]
    offsets = [8 * (parts - 1 - number) for number in range(parts)]
    others = [noise(2, 8, 9, 11) + number for number in range(residuals)]
    wanted = TorchOperations().combined(sums, offsets, 8, mask, others)
    assert torch.allclose(kernels.combined(sums, offsets, 8, mask, others), wanted, atol=1e-6)


def test_phases_and_activation(kernels: Operations, mask: torch.Tensor | None) -> None:
    plain = TorchOperations()
    low = None if mask is None else mask[:, :, :8, :10]
    phases = noise(2, 32, 5, 6)
    assert torch.allclose(kernels.enlarged(phases, low), plain.enlarged(phases, low))
    features = noise(2, 16, 9, 11)
    wanted = plain.activated(features.clone(), mask)
    assert torch.allclose(kernels.activated(features, mask), wanted)
    assert torch.equal(features, wanted), "in place"


def test_the_whole_network(kernels: Operations) -> None:
    network = small_rrdb().float().to(DEVICE)
    given, mask = noise(1, 3, 7, 9) + 0.5, torch.ones(1, 1, 7, 9, device=DEVICE)
    mask[..., 4] = 0
    given = given * mask
    wanted = SplitRrdb(network)(given, mask)
    assert torch.allclose(SplitRrdb(network, kernels)(given, mask), wanted, rtol=1e-4, atol=1e-4)
