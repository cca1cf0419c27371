"""What ``/metrics`` says in Prometheus text: what was done is counted, the rest is looked up."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from gpu_container.engine import DeviceMemory
from gpu_container.sensors import DeviceReadings

CONTENT_TYPE = "text/plain; version=0.0.4"
_GB = 1e9
_MEGA = 1e6
_BATCH_TILES = (1, 2, 4, 8, 16, 32)
_BATCH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class DeviceMetrics:
    """Counts of one process. ``process_start_time_seconds`` changes with every restart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.batch_tiles = self._histogram("gpu_batch_tiles", "Tiles of a batch.", _BATCH_TILES)
        self.batch_seconds = self._histogram("gpu_batch_seconds", "Time of a batch.", _BATCH_SECONDS)
        self.call_seconds = self._histogram("gpu_cutout_seconds", "Time of a cut-out.", _BATCH_SECONDS)
        self.megapixels = self._counter("gpu_megapixels", "Input pixels that were enlarged, in millions.")
        self.out_of_memory = self._counter("gpu_out_of_memory", "Times that the device's memory ran out.")

    def batch(self, tiles: int, pixels: int, seconds: float) -> None:
        """A batch has been computed."""
        self.batch_tiles.observe(tiles)
        self.batch_seconds.observe(seconds)
        self.megapixels.inc(pixels / _MEGA)

    def _counter(self, name: str, help_text: str) -> Counter:
        return Counter(name, help_text, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_text, buckets=buckets, registry=self.registry)


class MetricsPage:
    """What is looked up when somebody asks; nothing of it is asked of the driver then."""

    def __init__(self, metrics: DeviceMetrics, replica: str) -> None:
        self._registry = metrics.registry
        self._replica = replica

    def number(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge that ``read`` returns."""
        Gauge(name, help_text, registry=self._registry).set_function(read)

    def memory(self, read: Callable[[], DeviceMemory]) -> None:
        """Memory of the device."""
        used = Gauge("gpu_vram_usage_gauge", "GPU memory in use, GB.", ["replica"], registry=self._registry)
        used.labels(self._replica).set_function(lambda: read().used / _GB)
        peak = Gauge("gpu_vram_peak_gauge", "Its peak, GB.", ["replica"], registry=self._registry)
        peak.labels(self._replica).set_function(lambda: read().peak / _GB)

    def render(self, device: str, readings: DeviceReadings) -> bytes:
        """The text; what the driver does not tell is left out."""
        registry = CollectorRegistry()
        Gauge("gpu_device_info", "The device's name.", ["name"], registry=registry).labels(device).set(1)
        for name, help_text, value in (
            ("gpu_utilisation_percent", "Time in which the device computed.", readings.utilisation_percent),
            ("gpu_temperature_celsius", "Temperature of the device.", readings.temperature_c),
            ("gpu_last_xid", "Number of the driver's last critical error (Xid).", readings.last_xid),
        ):
            if value is not None:
                Gauge(name, help_text, registry=registry).set(value)
        return generate_latest(self._registry) + generate_latest(registry)
