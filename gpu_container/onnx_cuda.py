"""How onnxruntime behaves on a CUDA device that another network shares with it."""

from __future__ import annotations

import torch

# of the device's memory; the rest is for upscaling
_SHARE = 4


def cuda_options() -> dict[str, str]:
    """Options of its CUDA provider: it tries no convolutions out, and takes no more than it needs.

    By default it measures every algorithm for each new shape, doubles its arena each time that it is too
    small, and has no limit.
    """
    total = torch.cuda.get_device_properties(0).total_memory
    return {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": str(total // _SHARE),
    }
