"""Settings of the GPU service; storage and logging use the settings of ``imagery``."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from imagery.environment import Group, Words
from imagery.settings import read_environment


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Runtime(StrEnum):
    """What runs the upscaling network."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Numbers that the upscaling network computes with."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


def default_cache() -> Path:
    """The folder of model files in the user's cache."""
    return Path.home() / ".cache" / "imagery-guardrail" / "models"


class NetworkWords(Words):
    """The networks and what runs them."""

    background: str = Field("u2netp", description="name of the background removal model")
    upscale: str = Field(
        "auto", description="name of the upscaling model; auto: x4plus on CUDA, the compact one on a CPU"
    )
    runtime: Runtime = Field(
        Runtime.AUTO, description="torch or openvino; auto: torch on CUDA, else openvino"
    )
    precision: Precision = Field(
        Precision.AUTO,
        description="fp32, fp16 or bf16; auto: fp16 on CUDA, bf16 on processors that have it, else fp32",
    )
    threads: int = Field(0, ge=0, description="threads on the processor; 0: one a core")
    plain: bool = Field(
        False, description="on CUDA: the network as it was published, in batches of equal tiles"
    )


class MemoryWords(Words):
    """What pictures and batches may take."""

    share: float = Field(0.8, gt=0, le=1, description="share of the device's free memory")
    cpu_gb: float = Field(2.0, gt=0, description="GB on the processor, where there is no device")
    tile: int = Field(
        512, ge=64, description="largest side of a tile, input pixels; on CUDA up to twice that, and one more"
    )
    batch: int = Field(16, ge=1, description="most tiles of a batch of equal ones, of one job or of several")
    max_megapixels: float = Field(70.0, gt=0, description="most pixels of an input, in millions")


class AuthWords(Words):
    """Tokens that callers must bring."""

    issuer: str | None = Field(None, description="issuer of the tokens; empty: everybody is let in")
    jwks_url: str | None = Field(None, description="where the issuer's keys are (JWKS)")
    audience: str | None = Field(None, description="what tokens must be for: this app's client id")
    role: str = Field("GPU.Invoke", min_length=1, description="role that tokens must hold")

    @model_validator(mode="after")
    def _is_whole(self) -> AuthWords:
        if self.issuer and not (self.jwks_url and self.audience):
            raise ValueError("issuer needs jwks_url and audience")
        return self


class GpuSettings(Group):
    """The GPU service"""

    prefix: ClassVar[str] = "GPU_"

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8081, description="Port to listen on.")
    device: Device = Field(Device.AUTO, description="auto, cpu or cuda; cuda without CUDA is an error.")
    model_cache: Path = Field(
        default_factory=default_cache,
        description="Folder of model files (python -m gpu_container.fetch_models fills it); "
        "empty: .cache/imagery-guardrail/models in the home folder.",
    )
    networks: NetworkWords = Field(NetworkWords(), description="Which networks run, and how.")
    memory: MemoryWords = Field(MemoryWords(), description="What pictures and batches of tiles may take.")
    queue_s: float = Field(
        1800.0, gt=0, description="Longest expected wait for the device; who would wait longer gets a 429."
    )
    drain_s: float = Field(25.0, gt=0, description="Time to finish after SIGTERM.")
    auth: AuthWords = Field(
        AuthWords(), description="Tokens that callers must bring; empty: none are needed (local use)."
    )


@lru_cache(maxsize=1)
def get_gpu_settings() -> GpuSettings:
    """The settings of this process. Raises ``SettingsError``."""
    return read_environment(GpuSettings)
