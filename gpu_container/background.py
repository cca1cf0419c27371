"""Background removal with rembg, which never invents a subject where the network sees none."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from gpu_container.errors import ModelUnavailable, NoSubjectFound
from gpu_container.models import BACKGROUND_MODELS
from gpu_container.settings import GpuSettings

_NOTHING = "The network sees no subject in this picture: there is nothing to cut out."
_VISIBLE = 128


class _Recorder:
    """Stands before an onnxruntime session and keeps the raw prediction.

    rembg stretches every prediction to 0..1, so afterwards nobody can tell a subject from noise.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self.prediction = np.zeros((1, 1))

    def run(self, names: Any, inputs: Any) -> Any:
        outputs = self._session.run(names, inputs)
        self.prediction = np.asarray(outputs[0])
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class BackgroundRemover:
    """One rembg session. Not safe between threads."""

    def __init__(self, settings: GpuSettings, device: str) -> None:
        """Load the model. Raises ``ModelUnavailable``."""
        self.name = settings.background_model
        self._settings = settings
        providers = _providers(device)
        _check_file(self.name, settings.model_cache)
        os.environ["U2NET_HOME"] = str(settings.model_cache)
        # rembg imports an alpha matting library that compiles for a minute at its first import; unused here
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
        from rembg import new_session

        try:
            session = new_session(self.name, providers=providers)
        except Exception as error:
            raise ModelUnavailable(f"rembg could not load {self.name}: {type(error).__name__}") from error
        if device == "cuda" and "CUDAExecutionProvider" not in session.inner_session.get_providers():
            raise ModelUnavailable("CUDA was asked for, but onnxruntime could not load its CUDA provider")
        self._recorder = _Recorder(session.inner_session)
        session.inner_session = self._recorder
        self._session = session

    def remove(self, picture: Image.Image) -> Image.Image:
        """``picture`` (RGB or RGBA) with everything but its subject transparent, same size, RGBA.

        The colour of visible pixels is not touched. Raises ``NoSubjectFound``.
        """
        colour = picture.convert("RGB")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # a flat prediction makes rembg divide by zero; it is found out just below
            warnings.simplefilter("ignore", RuntimeWarning)
            mask = self._session.predict(colour)[0]
        self._check(mask)
        alpha = np.asarray(mask)
        if picture.mode == "RGBA":
            # what was transparent before stays so
            alpha = np.minimum(alpha, np.asarray(picture.getchannel("A")))
        colour.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
        return colour

    def _check(self, mask: Image.Image) -> None:
        prediction, settings = self._recorder.prediction, self._settings
        peak, lowest = float(prediction.max()), float(prediction.min())
        if not np.isfinite([peak, lowest]).all():
            raise NoSubjectFound(_NOTHING)
        coverage = float((np.asarray(mask) >= _VISIBLE).mean())
        if (
            peak < settings.min_confidence
            or peak - lowest < settings.min_contrast
            or coverage < settings.min_coverage
        ):
            raise NoSubjectFound(_NOTHING)


def _providers(device: str) -> list[str]:
    if device != "cuda":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ModelUnavailable("CUDA was asked for, but this onnxruntime has no CUDA provider")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _check_file(name: str, cache: Path) -> None:
    """rembg would try to download what is missing or corrupt; say so at once instead."""
    model = BACKGROUND_MODELS.get(name)
    problem = model.file.problem(cache) if model else _missing(name, cache)
    if problem:
        raise ModelUnavailable(f"{problem}: run python -m gpu_container.fetch_models")


def _missing(name: str, cache: Path) -> str | None:
    return None if (cache / f"{name}.onnx").is_file() else f"{name}.onnx is missing in {cache}"
