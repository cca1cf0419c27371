"""Settings of the GPU service; storage and logging use the settings of ``imagery``."""

from __future__ import annotations

import socket
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import AliasChoices, Field
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
    tile: int = Field(512, ge=64, description="Side of a tile, input pixels.")
    min_tile: int = Field(96, ge=64, description="Smallest side after out-of-memory halvings.")
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
    queue_limit: int = Field(8, ge=1, description="Requests that may wait; one more is answered 429.")
    max_megapixels: float = Field(70.0, gt=0, description="Most pixels of an input, millions.")
    max_bytes: int = Field(300 * 1024 * 1024, gt=0, description="Largest blob that is read.")
    default_deadline_s: float = Field(600.0, gt=0, description="Deadline of a request that names none.")
    drain_s: float = Field(25.0, gt=0, description="Time to finish after SIGTERM.")
    replica: str = Field(default_factory=socket.gethostname, description="Label of the metrics.")


@lru_cache(maxsize=1)
def get_gpu_settings() -> GpuSettings:
    """The settings of this process."""
    return GpuSettings()
