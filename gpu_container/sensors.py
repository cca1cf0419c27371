"""What NVIDIA's driver says of the device, where nvidia-ml-py is installed; nothing depends on it."""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass, replace
from typing import Any

from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_EVERY_S = 5.0


@dataclass(frozen=True)
class DeviceReadings:
    """The last that was read; None: the driver does not tell. ``last_xid``: of its last critical error."""

    utilisation_percent: float | None = None
    temperature_c: float | None = None
    last_xid: int | None = None


class DeviceSensors:
    """Reads the sensors in a thread of its own: a driver in trouble may not return."""

    def __init__(self) -> None:
        self.last = DeviceReadings()
        self._ended = threading.Event()

    def start(self, uuid: str) -> None:
        """Read from now on. ``uuid``: of the device, as CUDA has it."""
        threading.Thread(target=self._run, args=(uuid,), name="sensors", daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        self._ended.set()

    def _run(self, uuid: str) -> None:
        try:
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            device = nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        except Exception as error:
            # the package, the library or the device is not there: the metrics are not there either
            _log.info("sensors_absent", reason=type(error).__name__)
            return
        events = _xid_events(nvml, device)
        while not self._ended.is_set():
            self.last = DeviceReadings(
                _read(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu),
                _read(lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)),
                self.last.last_xid,
            )
            xid = self._wait_for_xid(nvml, events)
            if xid is not None:
                _log.error("device_xid", xid=xid)
                self.last = replace(self.last, last_xid=xid)

    def _wait_for_xid(self, nvml: Any, events: Any) -> int | None:
        if events is None:
            self._ended.wait(_EVERY_S)
            return None
        try:
            return int(nvml.nvmlEventSetWait_v2(events, int(_EVERY_S * 1000)).eventData)
        except nvml.NVMLError_Timeout:
            return None
        except nvml.NVMLError:
            self._ended.wait(_EVERY_S)
            return None


def _xid_events(nvml: Any, device: Any) -> Any:
    """Where the driver reports critical errors. Returns None if it does not."""
    try:
        events = nvml.nvmlEventSetCreate()
        nvml.nvmlDeviceRegisterEvents(device, nvml.nvmlEventTypeXidCriticalError, events)
    except nvml.NVMLError:
        return None
    return events


def _read(sensor: Any) -> float | None:
    try:
        return float(sensor())
    except Exception:
        # of a device that has no such sensor, or is lost
        return None
