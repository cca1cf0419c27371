"""The usual script: ``rembg.remove``, ``RealESRGANer.enhance``, ``Image.save``, each with its defaults."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stdout
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from gpu_container import compat
from gpu_container.background import prepare_rembg
from gpu_container.models import UpscaleModel
from gpu_container.settings import GpuSettings

# untiled is its default and its fastest; larger pictures would not fit into memory that way
_UNTILED_MOST = 1024 * 1024
_TILE = 512


class Peer:
    """The script's parts, loaded once."""

    def __init__(self, model: UpscaleModel, settings: GpuSettings, device: str) -> None:
        compat.prepare()
        prepare_rembg(settings.model_cache)
        import rembg
        from realesrgan import RealESRGANer

        providers = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider"]
        self._remove = rembg.remove
        self._session: Any = rembg.new_session(settings.networks.background, providers=providers)
        with tempfile.NamedTemporaryFile(suffix=".pth") as file:
            torch.save({"params": model.load(settings.model_cache).state_dict()}, file.name)
            self._upscalers = {
                tile: RealESRGANer(
                    model.scale,
                    file.name,
                    model=model.build(),
                    tile=tile,
                    half=device == "cuda",
                    device=torch.device(device),
                )
                for tile in (0, _TILE)
            }

    def enhance(self, pixels: np.ndarray) -> np.ndarray:
        """RealESRGANer on RGB or RGBA pixels (it takes and gives OpenCV's order)."""
        to_bgr = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        to_rgb = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        tile = 0 if pixels.shape[0] * pixels.shape[1] <= _UNTILED_MOST else _TILE
        with redirect_stdout(io.StringIO()):
            # it prints a line a tile
            upscaled, _ = self._upscalers[tile].enhance(cv2.cvtColor(pixels, to_bgr))
        result: np.ndarray = cv2.cvtColor(upscaled, to_rgb)
        return result

    def upscale(self, data: bytes) -> bytes:
        """Decode, upscale, encode."""
        with Image.open(io.BytesIO(data)) as image:
            return _save(self.enhance(np.asarray(image)))

    def cut_out_and_upscale(self, data: bytes) -> bytes:
        """Decode, cut out, upscale, encode."""
        with Image.open(io.BytesIO(data)) as image:
            return _save(self.enhance(np.asarray(self._remove(image, session=self._session))))


def _save(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
