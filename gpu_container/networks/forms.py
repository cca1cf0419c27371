"""Which networks have a form that keeps pictures of any sizes in one plane apart."""

from __future__ import annotations

import torch
from torch import nn

from gpu_container import compat
from gpu_container.networks.compact import MaskedCompact
from gpu_container.networks.operations import Operations, TorchOperations
from gpu_container.networks.rrdb import SplitRrdb
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)


def masked_form(network: nn.Module, device: str) -> nn.Module | None:
    """The same network with a mask as second argument, or None for one that has no such form.

    The layers are shared: ``network`` is moved and rounded with the form. ``device``: where it will run,
    ``cuda`` or ``cpu``.
    """
    compat.prepare()
    from basicsr.archs.rrdbnet_arch import RRDBNet
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    if isinstance(network, RRDBNet) and network.scale == 4:
        return SplitRrdb(network, fused(device))
    if isinstance(network, SRVGGNetCompact):
        return MaskedCompact(network)
    return None


def fused(device: str) -> Operations:
    """Kernels of our own where they work, else plain torch, which is slower and needs nothing."""
    if device != "cuda":
        return TorchOperations()
    try:
        from gpu_container.networks.triton_operations import TritonOperations

        kernels = TritonOperations()
        kernels.activated(torch.zeros(1, 16, 1, 1, device=device), None)
    except Exception as error:  # no Triton, no C compiler for its launchers, a card that it does not know
        _log.warning("triton_unavailable", error=f"{type(error).__name__}: {error}"[:300])
        return TorchOperations()
    return kernels
