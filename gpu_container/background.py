"""Background removal with rembg, which never invents a subject where the network sees none."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from PIL import Image

from gpu_container.errors import ModelUnavailableError, NoSubjectError
from gpu_container.lane import JobLane
from gpu_container.models import BACKGROUND_MODELS
from gpu_container.onnx_cuda import cuda_options
from gpu_container.settings import GpuSettings

_NOTHING = "The network sees no subject in this picture: there is nothing to cut out."
_VISIBLE = 128
# a prediction with a lower peak, a smaller range or a smaller subject (share of the picture) holds none
_MIN_CONFIDENCE, _MIN_CONTRAST, _MIN_COVERAGE = 0.5, 0.3, 0.002
# share of a picture that is transparent from which on it brings its own cut-out: rounded corners are less
_OWN_CUTOUT = 0.05
_LOOKED_AT = 1024

OnDevice = Callable[[Callable[[], Any], JobLane], Any]


class _DeviceSession:
    """Stands before an onnxruntime session: runs it on the device's thread and keeps the raw prediction.

    So rembg prepares and finishes pictures in the callers' threads, and only the network waits for the
    device. rembg stretches every prediction to 0..1: afterwards a subject looks like noise.
    """

    def __init__(self, session: Any, on_device: OnDevice) -> None:
        self._session = session
        self._on_device = on_device
        self.caller = threading.local()

    def run(self, names: Any, inputs: Any) -> Any:
        outputs = self._on_device(lambda: self._session.run(names, inputs), self.caller.lane)
        self.caller.prediction = np.asarray(outputs[0])
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class BackgroundRemover:
    """One rembg session; safe between threads."""

    def __init__(self, settings: GpuSettings, device: str, on_device: OnDevice) -> None:
        """Load the model. ``on_device(run, lane)`` runs the network. Raises ``ModelUnavailableError``."""
        self.name = settings.networks.background
        providers = _providers(device)
        _check_file(self.name, settings.model_cache)
        prepare_rembg(settings.model_cache)
        from rembg import new_session

        try:
            session = new_session(self.name, sess_opts=_options(settings), providers=providers)
            if device == "cuda":
                _warm_up(session)
        except Exception as error:
            raise ModelUnavailableError(
                f"rembg could not load {self.name}: {type(error).__name__}"
            ) from error
        if device == "cuda" and "CUDAExecutionProvider" not in session.inner_session.get_providers():
            raise ModelUnavailableError(
                "CUDA was asked for, but onnxruntime could not load its CUDA provider"
            )
        self._on_device = _DeviceSession(session.inner_session, on_device)
        session.inner_session = self._on_device
        self._session = session

    def remove(self, picture: Image.Image, lane: JobLane) -> np.ndarray:
        """``picture`` (RGB or RGBA) with everything but its subject transparent: (H, W, 4) uint8.

        The colour of visible pixels is not touched. Raises ``NoSubjectError``, and what ended the ``lane``.
        """
        colour = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
        if picture.mode == "RGBA":
            alpha = np.asarray(picture.getchannel("A"))
            if float((alpha < _VISIBLE).mean()) >= _OWN_CUTOUT:
                # somebody has cut it out already: a network can only see less in it
                return _own_cutout(colour, alpha)
        height, width, _ = colour.shape
        self._on_device.caller.lane = lane
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # a flat prediction makes rembg divide by zero; it is found out just below
            warnings.simplefilter("ignore", RuntimeWarning)
            mask = np.asarray(self._session.predict(Image.fromarray(_reduced(colour)))[0])
        self._check(mask)
        if mask.shape != (height, width):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC)
        if picture.mode == "RGBA":
            # what was transparent before stays so
            mask = np.minimum(mask, np.asarray(picture.getchannel("A")))
        return _cutout(colour, mask)

    def _check(self, mask: np.ndarray) -> None:
        prediction = self._on_device.caller.prediction
        peak, lowest = float(prediction.max()), float(prediction.min())
        if not np.isfinite([peak, lowest]).all():
            raise NoSubjectError(_NOTHING)
        coverage = float((mask >= _VISIBLE).mean())
        if peak < _MIN_CONFIDENCE or peak - lowest < _MIN_CONTRAST or coverage < _MIN_COVERAGE:
            raise NoSubjectError(_NOTHING)


def _own_cutout(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if float((alpha >= _VISIBLE).mean()) < _MIN_COVERAGE:
        raise NoSubjectError("Nearly all of the picture is transparent: there is nothing to cut out.")
    return _cutout(colour, alpha)


def _cutout(colour: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # what is invisible must not be handed on, and empty areas compress to nothing
    cutout: np.ndarray = cv2.cvtColor(cv2.copyTo(colour, mask), cv2.COLOR_RGB2RGBA)
    cutout[..., 3] = mask
    return cutout


def _reduced(colour: np.ndarray) -> np.ndarray:
    """Large pictures smaller: every network of rembg looks at 1024 px or less.

    rembg's own filters on all pixels of a large picture would take longer than the network does.
    """
    height, width, _ = colour.shape
    factor = _LOOKED_AT / max(height, width)
    if factor >= 1:
        return colour
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(colour, size, interpolation=cv2.INTER_AREA)


def prepare_rembg(cache: Path) -> None:
    """Call before rembg is imported: it finds its models in ``cache`` and imports quickly."""
    os.environ["U2NET_HOME"] = str(cache)
    # it imports an alpha matting library that compiles for a minute at its first import; unused here
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


def _options(settings: GpuSettings) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.networks.threads
    # threads that spin while they wait for the next picture take the processor from the upscaling network
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # its arena keeps what the largest run took, and no run takes long enough to need it
    options.enable_cpu_mem_arena = False
    return options


def _warm_up(session: Any) -> None:
    """The first run loads kernels and chooses convolutions: no picture should wait for that."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        session.predict(Image.new("RGB", (_LOOKED_AT, _LOOKED_AT)))


def _providers(device: str) -> list[Any]:
    if device != "cuda":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ModelUnavailableError("CUDA was asked for, but this onnxruntime has no CUDA provider")
    return [("CUDAExecutionProvider", cuda_options()), "CPUExecutionProvider"]


def _check_file(name: str, cache: Path) -> None:
    """rembg would try to download what is missing or corrupt; say so at once instead."""
    model = BACKGROUND_MODELS.get(name)
    problem = model.file.problem(cache) if model else _missing(name, cache)
    if problem:
        raise ModelUnavailableError(f"{problem}: run python -m gpu_container.fetch_models")


def _missing(name: str, cache: Path) -> str | None:
    return None if (cache / f"{name}.onnx").is_file() else f"{name}.onnx is missing in {cache}"
