"""Settings of the GPU service; storage and logging use the settings of ``imagery``."""

from __future__ import annotations

import socket
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class AlphaMethod(StrEnum):
    """How the matte is upscaled."""

    FILTER = "filter"
    NETWORK = "network"


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


class GpuSettings(BaseSettings):
    """Environment variables with the prefix ``GPU_``."""

    model_config = SettingsConfigDict(env_prefix="GPU_", extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8081, description="Port to listen on.")
    device: Device = Field(Device.AUTO, description="auto, cpu or cuda; cuda without CUDA is an error.")
    model_cache: Path = Field(
        default_factory=default_cache,
        validation_alias=AliasChoices("GPU_MODEL_CACHE", "MODEL_CACHE"),
        description="Folder of model files (python -m gpu_container.fetch_models fills it).",
    )
    background_model: str = Field("u2netp", description="Name of the background removal model.")
    upscale_model: str = Field(
        "auto", description="Name of the upscaling model; auto: x4plus on CUDA, the compact one on CPU."
    )
    runtime: Runtime = Field(
        Runtime.AUTO, description="torch or openvino; auto: torch on CUDA, else openvino."
    )
    precision: Precision = Field(
        Precision.AUTO,
        description="fp32, fp16 or bf16; auto: fp16 on CUDA, bf16 on processors that have it, else fp32.",
    )
    threads: int = Field(0, ge=0, description="Threads of the networks on the processor; 0: one a core.")
    compile: bool = Field(False, description="torch.compile: faster batches on CUDA, minutes at first use.")
    max_graphs: int = Field(8, ge=1, description="Batch shapes whose CUDA graphs and buffers are kept.")
    tile: int = Field(512, ge=64, description="Largest side of a tile, input pixels.")
    min_tile: int = Field(96, ge=64, description="Smallest side after out-of-memory halvings.")
    max_batch: int = Field(16, ge=1, description="Most tiles of one batch, of one job or of several.")
    memory_share: float = Field(
        0.8, gt=0, le=1, description="Share of the device's free memory that batches may take."
    )
    cpu_memory_gb: float = Field(2.0, gt=0, description="Memory that batches may take on the processor, GB.")
    bands_ahead: int = Field(1, ge=0, description="Row bands computed while an earlier one is encoded.")
    alpha: AlphaMethod = Field(AlphaMethod.FILTER, description="filter (bicubic) or network.")
    min_confidence: float = Field(
        0.5, ge=0, le=1, description="A prediction whose peak is lower holds no subject."
    )
    min_contrast: float = Field(
        0.3, ge=0, le=1, description="A prediction with a smaller range holds no subject."
    )
    min_coverage: float = Field(
        0.002, ge=0, le=1, description="Smallest share of the picture that a subject covers."
    )
    queue_limit: int = Field(16, ge=1, description="Requests worked on at once; one more is answered 429.")
    max_retry_after_s: float = Field(120.0, ge=1, description="Longest Retry-After of a 429.")
    max_megapixels: float = Field(70.0, gt=0, description="Most pixels of an input, millions.")
    readers: int = Field(4, ge=1, description="Encoded files held in memory at once.")
    megapixels_in_flight: float = Field(
        140.0, gt=0, description="Decoded pixels in memory at once, millions; further requests wait."
    )
    png_level: int = Field(1, ge=0, le=3, description="Compression of results, 0 (fastest) to 3.")
    max_bytes: int = Field(300 * 1024 * 1024, gt=0, description="Largest blob that is read.")
    default_deadline_s: float = Field(
        600.0, gt=0, description="Longest deadline, and that of requests without one."
    )
    drain_s: float = Field(25.0, gt=0, description="Time to finish after SIGTERM.")
    auth_issuer: str | None = Field(
        None,
        description="Issuer of the tokens that callers must bring; empty: everybody is let in (local use).",
    )
    auth_jwks_url: str | None = Field(None, description="Where the issuer's keys are (JWKS).")
    auth_audience: str | None = Field(None, description="What tokens must be for: this app's client id.")
    auth_role: str = Field("GPU.Invoke", min_length=1, description="Role that tokens must hold.")
    auth_skew_s: float = Field(60.0, ge=0, le=600, description="How far the clocks may differ.")
    auth_keys_refresh_s: float = Field(3600.0, gt=0, description="Age at which the keys are fetched anew.")
    auth_keys_interval_s: float = Field(
        30.0, ge=0, description="Keys are not fetched more often than this, whatever key ids tokens name."
    )
    auth_keys_lifetime_s: float = Field(
        86_400.0, gt=0, description="How long known keys are good while the issuer does not answer."
    )
    replica: str = Field(default_factory=socket.gethostname, description="Label of the metrics.")

    @model_validator(mode="after")
    def _auth_is_whole(self) -> GpuSettings:
        if self.auth_issuer and not (self.auth_jwks_url and self.auth_audience):
            raise ValueError("GPU_AUTH_ISSUER needs GPU_AUTH_JWKS_URL and GPU_AUTH_AUDIENCE")
        return self


@lru_cache(maxsize=1)
def get_gpu_settings() -> GpuSettings:
    """The settings of this process."""
    return GpuSettings()
