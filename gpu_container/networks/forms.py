"""Which networks have a form that keeps pictures of any sizes in one plane apart."""

from __future__ import annotations

from torch import nn

from gpu_container import compat
from gpu_container.networks.compact import MaskedCompact
from gpu_container.networks.rrdb import SplitRrdb


def masked_form(network: nn.Module) -> nn.Module | None:
    """The same network with a mask as second argument, or None for one that has no such form.

    The layers are shared: ``network`` is moved and rounded with the form.
    """
    compat.prepare()
    from basicsr.archs.rrdbnet_arch import RRDBNet
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    if isinstance(network, RRDBNet) and network.scale == 4:
        return SplitRrdb(network)
    if isinstance(network, SRVGGNetCompact):
        return MaskedCompact(network)
    return None
