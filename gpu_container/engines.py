"""Which network runs by what on which device."""

from __future__ import annotations

from torch import nn

from gpu_container.atlas import planes_for
from gpu_container.engine import UpscaleEngine
from gpu_container.errors import ModelUnavailableError
from gpu_container.models import AUTO_UPSCALE, UPSCALE_MODELS, UpscaleModel
from gpu_container.networks.forms import masked_form
from gpu_container.settings import GpuSettings, Runtime


def choose_model(settings: GpuSettings, device: str) -> UpscaleModel:
    """The upscaling model by its name in the settings. Raises ``ModelUnavailableError``."""
    name = AUTO_UPSCALE[device] if settings.networks.upscale == "auto" else settings.networks.upscale
    model = UPSCALE_MODELS.get(name)
    if model is None:
        raise ModelUnavailableError(f"there is no upscaling model '{name}': {', '.join(UPSCALE_MODELS)}")
    return model


def make_engine(model: UpscaleModel, network: nn.Module, settings: GpuSettings, device: str) -> UpscaleEngine:
    """What runs ``network`` on ``device``. Raises ``ModelUnavailableError`` where they don't fit."""
    networks = settings.networks
    runtime = networks.runtime
    if runtime is Runtime.AUTO:
        runtime = Runtime.TORCH if device == "cuda" else Runtime.OPENVINO
    if runtime is Runtime.OPENVINO:
        if device != "cpu":
            raise ModelUnavailableError("runtime=openvino (GPU_NETWORKS) runs on the processor only")
        try:
            from gpu_container.openvino_engine import OpenVinoEngine
        except ImportError as error:
            raise ModelUnavailableError(
                "OpenVINO is not installed; set runtime=torch in GPU_NETWORKS"
            ) from error

        return OpenVinoEngine(
            network, precision=networks.precision, tile_step=model.align, threads=networks.threads
        )
    from gpu_container.torch_engine import CudaPlatform, HostPlatform, TorchEngine

    masked = masked_form(network, device) if device == "cuda" and not networks.plain else None
    return TorchEngine(
        masked or network,
        CudaPlatform() if device == "cuda" else HostPlatform(),
        precision=networks.precision,
        tile_step=model.align,
        planes=planes_for(settings.memory.tile) if masked else (),
    )
