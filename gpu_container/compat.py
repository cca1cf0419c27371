"""Makes ``basicsr`` and ``realesrgan`` importable with today's torch and torchvision.

Two things are missing for them: ``torchvision.transforms.functional_tensor``, gone since torchvision 0.17,
and, where torchvision's compiled operators were built for another torch, the operators' declarations.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import torch

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float scale, int h, int w, int ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float scale, int h, int w) -> (Tensor, Tensor)",
    "ps_roi_align(Tensor input, Tensor rois, float scale, int h, int w, int ratio) -> (Tensor, Tensor)",
    "ps_roi_pool(Tensor input, Tensor rois, float scale, int h, int w) -> (Tensor, Tensor)",
)
_library: torch.library.Library | None = None


def prepare() -> None:
    """Call before the first import of ``basicsr`` or ``realesrgan``; calling again does nothing."""
    _declare_operators()
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module


def _declare_operators() -> None:
    """Declare torchvision's operators where its compiled ones can't be loaded into this torch."""
    global _library  # noqa: PLW0603  # the declarations live as long as this object
    if "torchvision" in sys.modules or _library is not None:
        return
    found = importlib.util.find_spec("torchvision")
    folders = found.submodule_search_locations if found else None
    for compiled in (each for folder in folders or [] for each in Path(folder).glob("_C*.so")):
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(compiled))
            return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _OPERATORS:
        _library.define(schema)
