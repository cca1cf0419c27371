"""Networks through torch: the engine on CUDA, and the reference on the processor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from gpu_container.device_errors import is_out_of_memory
from gpu_container.engine import DeviceMemory, DeviceMemoryError, NotFiniteError
from gpu_container.settings import Precision
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_STEPS = 255
_CUDA_STEP = 64
_WARM_UPS = 2
_WITH_MASK = 4
# networks that take a mask enlarge in strips: up to this many pixels no layer has 2^31 numbers
_USEFUL_IN_PLANES = 16 * 512 * 512
# batch shapes whose CUDA graphs and buffers are kept
MAX_GRAPHS = 8

Shape = tuple[int, ...]


class TorchPlatform(Protocol):
    """What differs between CUDA and the processor: queues, pinned memory, recorded graphs.

    ``held``: memory of recorded graphs between their replays, bytes; ``memory`` does not call it free.
    """

    device: torch.device
    default_precision: torch.dtype
    max_in_flight: int
    useful_pixels: int
    held: int

    def host_buffer(self, shape: Shape, kind: torch.dtype) -> torch.Tensor:
        """Memory of the host that the device can copy from and to while others work."""
        ...

    def queue(self) -> AbstractContextManager[object]:
        """Inside, work is queued on the device in order."""
        ...

    def record(self, forward: _Forward) -> _Replay | None:
        """``forward`` recorded for replay, None where the platform can't."""
        ...

    def marker(self) -> _Marker:
        """Stands for the end of what was queued so far."""
        ...

    def memory(self) -> DeviceMemory: ...

    def release(self) -> None: ...

    def reset_peak(self) -> None: ...


class _Forward(Protocol):
    def __call__(self) -> None: ...


class _Replay(Protocol):
    def replay(self) -> None: ...


class _Marker(Protocol):
    def synchronize(self) -> None: ...


class HostPlatform:
    """The processor: everything is done when the call returns."""

    device = torch.device("cpu")
    default_precision = torch.float32
    max_in_flight = 1
    useful_pixels = 512 * 512
    held = 0

    def host_buffer(self, shape: Shape, kind: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=kind)

    def queue(self) -> AbstractContextManager[object]:
        return nullcontext()

    def record(self, forward: _Forward) -> _Replay | None:
        return None

    def marker(self) -> _Marker:
        return _Done()

    def memory(self) -> DeviceMemory:
        return DeviceMemory(0, 0, None)

    def release(self) -> None:
        """Nothing is cached."""

    def reset_peak(self) -> None:
        """Nothing is counted."""


class _Done:
    def synchronize(self) -> None:
        """It is done."""


class CudaPlatform:
    """One CUDA device: one stream, in which copies of the next batch wait behind nothing but its slot."""

    default_precision = torch.float16
    max_in_flight = 2
    # more bring no throughput, and from eight tiles of 512 px on a layer has 2^31 numbers
    useful_pixels = 4 * 512 * 512

    def __init__(self) -> None:
        self.device = torch.device("cuda")
        # it would tune every new shape, one or two seconds each, and pictures have many
        torch.backends.cudnn.benchmark = False
        self._stream = torch.cuda.Stream()
        # graphs never run side by side, so they may share the memory of their intermediate results
        self._pool = torch.cuda.graph_pool_handle()
        self.held = 0

    def host_buffer(self, shape: Shape, kind: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=kind, pin_memory=True)

    def queue(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream)

    def record(self, forward: _Forward) -> _Replay | None:
        graph = torch.cuda.CUDAGraph()
        self._stream.synchronize()
        # other threads may use the device meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            forward()
        self._look_at_pools()
        return graph

    def marker(self) -> _Marker:
        event = torch.cuda.Event()
        event.record(self._stream)
        return event

    def memory(self) -> DeviceMemory:
        free, total = torch.cuda.mem_get_info(self.device)
        reserved = torch.cuda.memory_reserved(self.device)
        # other libraries (onnxruntime) use memory that torch does not know of
        others = max(0, total - free - reserved)
        peak = torch.cuda.max_memory_reserved(self.device) + others
        idle = reserved - torch.cuda.memory_allocated(self.device) - self.held
        return DeviceMemory(total - free, peak, free + max(0, idle))

    def release(self) -> None:
        torch.cuda.empty_cache()
        self._look_at_pools()

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)

    def _look_at_pools(self) -> None:
        self.held = held_by_graphs(torch.cuda.memory_snapshot(include_traces=False))


def held_by_graphs(segments: Iterable[Mapping[str, Any]]) -> int:
    """Bytes that look idle but belong to recorded graphs. ``segments``: of ``torch.cuda.memory_snapshot``."""
    return sum(
        segment["total_size"] - segment["allocated_size"]
        for segment in segments
        if tuple(segment["segment_pool_id"]) != (0, 0)
    )


class TorchEngine:
    """A network in channels_last and 16 bits; shapes that come back are replayed from recorded graphs."""

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
        platform: TorchPlatform,
        *,
        precision: Precision,
        tile_step: int,
        max_graphs: int = MAX_GRAPHS,
        planes: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """``max_graphs``: shapes whose buffers and graphs are kept, the least recently used go first.

        ``planes``: see ``UpscaleEngine``; only for networks that take a mask.
        """
        kinds = {
            Precision.AUTO: platform.default_precision,
            Precision.FP32: torch.float32,
            Precision.FP16: torch.float16,
            Precision.BF16: torch.bfloat16,
        }
        self._kind = kinds[precision]
        self.precision = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[self._kind]
        self.device = platform.device.type
        self.max_in_flight = platform.max_in_flight
        self.useful_pixels = _USEFUL_IN_PLANES if planes else platform.useful_pixels
        self.planes = planes
        # in a plane of its own size any tile has the same shape
        equal_step = max(tile_step, _CUDA_STEP) if self.device == "cuda" else tile_step
        self.tile_step = 1 if planes else equal_step
        self._platform = platform
        self._network = network.to(platform.device, self._kind, memory_format=torch.channels_last)
        self._max_slots = max_graphs
        self._slots: OrderedDict[tuple[Shape, int], _Slot] = OrderedDict()
        self._turn = 0

    def start(self, batch: np.ndarray) -> _Slot:
        """See ``UpscaleEngine``."""
        self._turn = (self._turn + 1) % self.max_in_flight
        key = (batch.shape, self._turn)
        try:
            slot = self._slots.pop(key, None) or _Slot(self._network, self._platform, self._kind, batch.shape)
            slot.start(batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise DeviceMemoryError(str(error)) from error
            raise
        self._slots[key] = slot
        while len(self._slots) > self._max_slots * self.max_in_flight:
            self._slots.popitem(last=False)
        return slot

    def release(self) -> None:
        """See ``UpscaleEngine``."""
        self._slots.clear()
        self._platform.release()

    def memory(self) -> DeviceMemory:
        """See ``UpscaleEngine``."""
        memory = self._platform.memory()
        if memory.free is None or not self.planes:
            return memory
        # the same few planes come again and again, and their graphs need what they hold
        return replace(memory, free=memory.free + self._platform.held)

    def reset_peak(self) -> None:
        """See ``UpscaleEngine``."""
        self._platform.reset_peak()


class _Slot:
    """The buffers of one batch shape on their way to the device and back, and its graph."""

    def __init__(self, network: nn.Module, platform: TorchPlatform, kind: torch.dtype, shape: Shape) -> None:
        self._network = network
        self._platform = platform
        self._kind = kind
        self._is_plane = shape[-1] == _WITH_MASK
        self._given = platform.host_buffer(shape, torch.uint8)
        with platform.queue():
            self._pixels = torch.empty(shape, dtype=torch.uint8, device=platform.device)
        self._upscaled = torch.empty(0)
        self._finite = torch.empty(0)
        self._taken: tuple[torch.Tensor, torch.Tensor] | None = None
        self._graph: _Replay | None = None
        self._uses = 0
        self._marker: _Marker = _Done()

    def start(self, batch: np.ndarray) -> None:
        """Copy in, compute, copy out; on CUDA nothing of it is waited for."""
        self._marker.synchronize()
        self._given.numpy()[...] = batch
        with torch.inference_mode(), self._platform.queue():
            self._pixels.copy_(self._given, non_blocking=True)
            self._compute()
            if self._taken is None:
                self._taken = (
                    self._platform.host_buffer(tuple(self._upscaled.shape), torch.uint8),
                    self._platform.host_buffer(tuple(self._finite.shape), torch.bool),
                )
            self._taken[0].copy_(self._upscaled, non_blocking=True)
            self._taken[1].copy_(self._finite, non_blocking=True)
            self._marker = self._platform.marker()

    def result(self) -> np.ndarray:
        """See ``RunningBatch``."""
        try:
            self._marker.synchronize()
        except Exception as error:
            if is_out_of_memory(error):
                raise DeviceMemoryError(str(error)) from error
            raise
        if self._taken is None or not self._taken[1].all():
            raise NotFiniteError("the network's output is not finite")
        return self._taken[0].numpy()

    def _compute(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        self._forward()
        self._uses += 1
        if self._uses == (1 if self._is_plane else _WARM_UPS):
            # most shapes of small pictures come once; a graph is worth its memory for those that come back
            self._graph = self._record()

    def _record(self) -> _Replay | None:
        try:
            return self._platform.record(self._forward)
        except RuntimeError as error:
            # without a graph the batch is slower, not wrong; its result is there already
            _log.warning("graph_not_recorded", shape=list(self._pixels.shape), error=str(error))
            return None

    def _forward(self) -> None:
        planes = self._pixels[..., :3].permute(0, 3, 1, 2).to(self._kind).div_(_STEPS)
        masks = [self._pixels[..., 3:].permute(0, 3, 1, 2).to(self._kind)] if self._is_plane else []
        result = self._network(planes.contiguous(memory_format=torch.channels_last), *masks)
        finite = torch.isfinite(result).flatten(1).all(dim=1)
        steps = result.float().mul_(_STEPS).round_().clamp_(0, _STEPS).to(torch.uint8)
        pixels = steps.permute(0, 2, 3, 1).contiguous()
        if self._upscaled.shape != pixels.shape:
            self._upscaled, self._finite = torch.empty_like(pixels), torch.empty_like(finite)
        self._upscaled.copy_(pixels)
        self._finite.copy_(finite)
