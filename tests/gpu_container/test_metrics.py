"""What ``/metrics`` says of the device, with a driver and without one."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpu_container import sensors as sensors_module
from gpu_container.engine import DeviceMemory
from gpu_container.metrics import DeviceMetrics, MetricsPage
from gpu_container.sensors import DeviceReadings, DeviceSensors


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_what_was_done_is_counted_and_what_the_driver_does_not_tell_is_absent() -> None:
    metrics = DeviceMetrics()
    page = MetricsPage(metrics, "r")
    page.memory(lambda: DeviceMemory(2 * 10**9, 3 * 10**9, None))
    page.number("gpu_queue_seconds", "Seconds.", lambda: 7.5)
    metrics.batch(4, 2_000_000, 0.5)
    metrics.batch(1, 500_000, 0.25)
    told = samples(page.render("card", DeviceReadings(temperature_c=61)))
    assert told["gpu_batch_tiles_sum"] == 5
    assert (told["gpu_batch_seconds_count"], told["gpu_batch_seconds_sum"]) == (2, 0.75)
    assert told["gpu_megapixels_total"] == 2.5
    assert (told["gpu_vram_usage_gauge"], told["gpu_vram_peak_gauge"]) == (2, 3)
    assert (told["gpu_queue_seconds"], told["gpu_temperature_celsius"]) == (7.5, 61)
    assert (told["gpu_device_info"], told["process_start_time_seconds"] > 0) == (1, True)
    assert not {"gpu_utilisation_percent", "gpu_last_xid"} & set(told)


class NvmlError(Exception):
    """Of the driver."""


class TimeoutNvmlError(NvmlError):
    """Nothing has happened."""


class Driver(SimpleNamespace):
    """The part of NVML that is used: a card without a thermometer that reports one Xid."""

    NVMLError, NVMLError_Timeout = NvmlError, TimeoutNvmlError

    def __init__(self) -> None:
        super().__init__()
        self.xids = [79]

    def __getattr__(self, name: str) -> Any:
        if name == "nvmlDeviceGetTemperature":
            raise NvmlError("not supported")
        return lambda *_: None

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802  # the driver's name
        assert uuid == "GPU-1"
        return uuid

    def nvmlDeviceGetUtilizationRates(self, _: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=93)

    def nvmlEventSetWait_v2(self, _: Any, wait_ms: int) -> SimpleNamespace:  # noqa: N802
        if not self.xids:
            time.sleep(0.01)
            raise TimeoutNvmlError
        return SimpleNamespace(eventData=self.xids.pop())

    def nvmlEventSetCreate(self) -> str:  # noqa: N802
        return "events"


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(None, DeviceReadings()), (Driver(), DeviceReadings(utilisation_percent=93, last_xid=79))],
)
def test_sensors_are_read_where_they_are(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, expected: DeviceReadings
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(sensors_module, "_EVERY_S", 0.01)
    sensors = DeviceSensors()
    sensors.start("1")
    until = time.monotonic() + 10
    while sensors.last != expected and time.monotonic() < until:
        time.sleep(0.01)
    sensors.stop()
    assert sensors.last == expected
