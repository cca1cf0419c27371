"""Networks on the processor through OpenVINO, which is about three times as fast as torch here."""

from __future__ import annotations

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops
from torch import nn

from gpu_container.device_errors import is_out_of_memory
from gpu_container.engine import DeviceMemory, DeviceMemoryError, NotFiniteError
from gpu_container.settings import Precision

_DEVICE = "CPU"
_STEPS = 255.0


class OpenVinoEngine:
    """A torch network translated once; rounding and the change of layout are part of its graph."""

    name = "openvino"
    device = "cpu"
    max_in_flight = 2
    useful_pixels = 512 * 512
    planes: tuple[tuple[int, int], ...] = ()

    def __init__(self, network: nn.Module, *, precision: Precision, tile_step: int, threads: int) -> None:
        """``threads`` 0: as many as there are cores."""
        core = ov.Core()
        self.tile_step = tile_step
        self.precision = _precision(precision, core)
        self._compiled = core.compile_model(
            _graph(network),
            _DEVICE,
            {
                "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.precision],
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
            },
        )
        self._requests = [self._compiled.create_infer_request() for _ in range(self.max_in_flight)]
        self._next = 0

    def start(self, batch: np.ndarray) -> _Request:
        """See ``UpscaleEngine``."""
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        try:
            request.start_async({0: batch})
        except RuntimeError as error:
            raise _error(error) from error
        return _Request(request)

    def release(self) -> None:
        """See ``UpscaleEngine``."""
        self._compiled.release_memory()

    def memory(self) -> DeviceMemory:
        """See ``UpscaleEngine``."""
        return DeviceMemory(0, 0, None)

    def reset_peak(self) -> None:
        """See ``UpscaleEngine``."""


class _Request:
    def __init__(self, request: ov.InferRequest) -> None:
        self._request = request

    def result(self) -> np.ndarray:
        try:
            self._request.wait()
        except RuntimeError as error:
            raise _error(error) from error
        if not self._request.get_output_tensor(1).data.all():
            raise NotFiniteError("the network's output is not finite")
        pixels: np.ndarray = self._request.get_output_tensor(0).data
        return pixels


def _graph(network: nn.Module) -> ov.Model:
    """uint8 NHWC in; out: uint8 NHWC, and whether all numbers were finite."""
    plain = network.to(device="cpu", dtype=torch.float32, memory_format=torch.contiguous_format)
    example = torch.zeros(1, 3, 64, 64)
    model = ov.convert_model(plain, example_input=example)
    given = ops.parameter([-1, -1, -1, 3], ov.Type.u8, "pixels")
    planes = ops.transpose(ops.convert(given, "f32"), ops.constant(np.array([0, 3, 1, 2])))
    scaled = ops.divide(planes, ops.constant(np.float32(_STEPS)))
    old = model.get_parameters()[0]
    model.reshape([-1, 3, -1, -1])
    old.output(0).replace(scaled.output(0))
    result = model.get_results()[0].input_value(0)
    finite = _finite(result)
    steps = ops.clamp(ops.multiply(result, ops.constant(np.float32(_STEPS))), 0.0, _STEPS)
    pixels = ops.convert(ops.round(steps, "half_to_even"), "u8")
    last = ops.transpose(pixels, ops.constant(np.array([0, 2, 3, 1])))
    return ov.Model([ops.result(last), ops.result(finite)], [given], "tiles")


def _finite(result: ov.Output) -> ov.Node:
    """True when the mean over every picture is finite: one number that is not makes its mean so."""
    mean = ops.reduce_mean(result, ops.constant(np.array([1, 2, 3])), False)
    return ops.equal(ops.subtract(mean, mean), ops.constant(np.float32(0)))


def _precision(wanted: Precision, core: ov.Core) -> str:
    has_bf16 = "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if wanted is Precision.AUTO:
        return "bf16" if has_bf16 else "fp32"
    # OpenVINO's processor plugin computes 16 bits as bf16
    return "fp32" if wanted is Precision.FP32 else "bf16"


def _error(error: RuntimeError) -> Exception:
    return DeviceMemoryError(str(error)) if is_out_of_memory(error) else error
