"""What the machine does, and this process with its children: one look at it at a time, in base units."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Generator
from typing import Any

import psutil

__all__ = ["Machine"]


class Machine:
    """The machine as seen from this process.

    Rates are those since the last look. Names and units:

    - `system/cpu`: share of all processors that is busy, 0 to 1;
    - `system/memory`: bytes that are in use;
    - `system/disk_read`, `system/disk_written`, `system/network_received`, `system/network_sent`: bytes per second;
    - `system/process/cpu`: processors that this process and its children keep busy, 1 is one of them;
    - `system/process/memory`: bytes that they hold in memory, those that they share counted for each;
    - `system/gpu/0/utilization` (0 to 1), `.../memory` (bytes), `.../power` (watts), `.../temperature` (degrees
      Celsius), for each GPU of NVIDIA, where `nvidia-ml-py` (the extra `gpu`) is installed.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._gpus = _Gpus()
        self._at = time.monotonic()
        self._counted = self._count()

    def look(self) -> dict[str, float]:
        """Give every metric by its name."""
        at, counted = time.monotonic(), self._count()
        seconds, before = at - self._at, self._counted
        # A child that ends in the middle of the counting is missing once.
        counted["process/cpu"] = max(counted["process/cpu"], before["process/cpu"])
        self._at, self._counted = at, counted
        rates = {name: (counted[name] - before[name]) / seconds for name in counted.keys() & before.keys()}
        busy, idle = rates.pop("busy", 0.0), rates.pop("idle", 0.0)
        # A counter that begins anew, of a network card that was taken out, is no rate.
        found = {f"system/{name}": rate for name, rate in rates.items() if rate >= 0}
        if busy + idle > 0:
            found["system/cpu"] = busy / (busy + idle)
        memory = psutil.virtual_memory()
        found["system/memory"] = float(memory.total - memory.available)
        found["system/process/memory"] = float(sum(_resident(one) for one in self._family()))
        return found | dict(self._gpus.look())

    def _count(self) -> dict[str, float]:
        """Give what only ever grows: seconds and bytes since the machine or the process started."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts what guests use as user time, too.
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        found = {"idle": idle, "busy": sum(times) - idle - guests, "process/cpu": self._seconds()}
        if disk := psutil.disk_io_counters():
            found |= {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes}
        if network := psutil.net_io_counters():
            found |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
        return found

    def _seconds(self) -> float:
        """Give processor time; that of a child that has ended counts for its parent, so that none gets lost."""
        total = 0.0
        for one in self._family():
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return [self._process]


class _Gpus:
    """The GPUs of NVIDIA; none where their library or a driver is missing."""

    def __init__(self) -> None:
        self._library: Any = None
        self._handles: list[Any] = []
        with contextlib.suppress(ImportError):
            self._library = importlib.import_module("pynvml")
        if self._library:
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlInit()
                count = self._library.nvmlDeviceGetCount()
                self._handles = [self._library.nvmlDeviceGetHandleByIndex(number) for number in range(count)]

    def look(self) -> Generator[tuple[str, float]]:
        for number, handle in enumerate(self._handles):
            for name, value in self._measures(handle):
                yield f"system/gpu/{number}/{name}", value

    def _measures(self, handle: Any) -> Generator[tuple[str, float]]:
        nvml = self._library
        measures = {
            "utilization": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            "memory": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            "power": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "temperature": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        }
        for name, measure in measures.items():
            with contextlib.suppress(nvml.NVMLError):  # not every card knows everything
                yield name, float(measure())


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has ended meanwhile
        return 0
