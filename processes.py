"""Who a process is: its id, when it started, and on which boot, so that a re-used process id is not mistaken for it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner", "is_alive", "owner_of", "this_process"]


@dataclass(frozen=True)
class Owner:
    """One process, for ever.

    Attributes:
        pid: Process id.
        started: Start time in the unit of the system; only compared for equality.
        boot: Id of the boot of the machine.
    """

    pid: int
    started: str
    boot: str


def this_process() -> Owner:
    """Describe the calling process."""
    return Owner(os.getpid(), _started(os.getpid()) or "", _boot())


def owner_of(pid: int) -> Owner | None:
    """Describe a process that runs now, or give None."""
    started = _started(pid)
    return None if started is None else Owner(pid, started, _boot())


def is_alive(owner: Owner) -> bool:
    """Whether exactly this process still runs."""
    return owner.boot == _boot() and owner.started == _started(owner.pid)


def _started(pid: int) -> str | None:
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        state, *rest = text.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # a zombie has ended; field 22 is the start time
    answer = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _boot() -> str:
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
