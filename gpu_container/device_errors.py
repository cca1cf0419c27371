"""What an error of a device means: too little memory has many names, and a smaller batch mends each."""

from __future__ import annotations

import torch

# of torch's allocator, CUDA, cuBLAS, cuDNN, onnxruntime's arena, OpenVINO and the C++ library, in lower case
_NAMES = (
    "out of memory",
    "alloc_failed",
    "allocation_failed",
    "memoryallocation",
    "failed to allocate",
    "could not allocate",
    "can't allocate",
    "cannot allocate",
    "unable to allocate",
    "available memory of",
    "bad_alloc",
    "bad allocation",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True when the device, or memory of the host that it copies from, was too small.

    Only torch's allocator has a type for it. Everybody else raises a RuntimeError with a text.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(name in text for name in _NAMES)
